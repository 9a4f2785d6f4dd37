//! The messages of the gRPC health service
//! (<https://github.com/grpc/grpc/blob/master/doc/health-checking.md>).

/// The path of the unary method.
pub const CHECK_PATH: &str = "/grpc.health.v1.Health/Check";
/// The path of the method that answers at each change.
pub const WATCH_PATH: &str = "/grpc.health.v1.Health/Watch";
/// What the paths of all its methods begin with.
pub const SERVICE_PREFIX: &str = "/grpc.health.v1.Health/";

/// `HealthCheckRequest`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HealthCheckRequest {
    /// The name of a service. Empty: the whole server.
    #[prost(string, tag = "1")]
    pub service: String,
}

/// `HealthCheckResponse`
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct HealthCheckResponse {
    /// A [`ServingStatus`].
    #[prost(enumeration = "ServingStatus", tag = "1")]
    pub status: i32,
}

/// `HealthCheckResponse.ServingStatus`
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, prost::Enumeration)]
#[repr(i32)]
pub enum ServingStatus {
    /// The field is left out.
    Unknown = 0,
    /// The service serves.
    Serving = 1,
    /// It doesn't, for now.
    NotServing = 2,
    /// Only in answers of `Watch`: the server has no such service.
    ServiceUnknown = 3,
}
