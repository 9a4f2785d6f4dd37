mod jwks;
mod source;
