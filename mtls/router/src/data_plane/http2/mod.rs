//! Code that HTTP/2 connections to clients and to cells share.

mod blocks;
mod greeting;
mod listening;

pub(crate) use self::blocks::{Blocks, HEADER_LIST_MAX, REQUEST_LIST_MAX};
pub(crate) use self::greeting::Greeting;
pub(crate) use self::listening::Listening;
