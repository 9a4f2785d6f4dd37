mod documents;
mod jwks;
mod source;
