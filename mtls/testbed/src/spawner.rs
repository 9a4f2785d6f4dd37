//! How hyper starts its tasks on a host.

use std::future::Future;

use cellway_env::Env;

/// Spawns hyper's HTTP/2 tasks on the host, so that they end when it crashes.
#[derive(Clone)]
pub(super) struct Spawner<E>(pub(super) E);

/// Nothing in it is ever pinned; hyper's HTTP/2 client asks for it.
impl<E> Unpin for Spawner<E> {}

impl<E: Env, F> hyper::rt::Executor<F> for Spawner<E>
where
    F: Future + Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(async move {
            task.await;
        });
    }
}
