//! Code that HTTP/2 connections to clients and to cells share.

mod blocks;
mod greeting;
mod listening;

use std::future::Future;

use cellway_env::Env;

pub(crate) use self::blocks::{Blocks, HEADER_LIST_MAX, REQUEST_LIST_MAX};
pub(crate) use self::greeting::Greeting;
pub(crate) use self::listening::Listening;

/// Runs hyper's tasks through the environment.
#[derive(Clone, Debug)]
pub(crate) struct Spawner<E>(pub(crate) E);

impl<E, F> hyper::rt::Executor<F> for Spawner<E>
where
    E: Env,
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}
