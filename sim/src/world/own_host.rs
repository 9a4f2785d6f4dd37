//! A simulated host, as the user's code sees it.

use std::any::TypeId;
use std::sync::Arc;
use std::time::Duration;

use cellway_testbed::{IdentityProvider, OwnService};

use super::state::WorldHandle;
use crate::engine::SimEnv;
use crate::fact::Fact;
use crate::random::Random;

/// Makes the service of an endpoint when it starts.
pub(super) type Serves = Arc<dyn Fn(Host) -> OwnService + Send + Sync>;

/// Makes the service of an identity provider when it starts.
pub(super) type ServesKeys = Arc<dyn Fn(Host, IdentityProvider) -> OwnService + Send + Sync>;

/// A simulated host, for the code that runs on it: from its start to its next crash.
#[derive(Clone)]
pub struct Host {
    env: SimEnv,
    world: WorldHandle,
}

impl Host {
    pub(super) fn new(env: &SimEnv, world: &WorldHandle) -> Self {
        Self {
            env: env.clone(),
            world: world.clone(),
        }
    }

    /// Its name, such as `gold-1`.
    pub fn name(&self) -> &str {
        self.env.name()
    }

    /// How often it was started before.
    pub fn incarnation(&self) -> u32 {
        self.env.incarnation()
    }

    /// Its environment: connections, listeners, the wall clock, its disk, and tasks. Time passes with
    /// `tokio::time`.
    pub fn env(&self) -> &SimEnv {
        &self.env
    }

    /// Random numbers from the seed, for one purpose.
    pub fn random(&self, purpose: &str) -> Random {
        self.env.random(purpose)
    }

    /// Time since the start of the run.
    pub fn elapsed(&self) -> Duration {
        self.env.elapsed()
    }

    /// Something of your own that all hosts of a run share, and that no crash touches, such as a database. A
    /// run begins with the default.
    ///
    /// # Panics
    /// Never: what is kept under a type has this type.
    pub fn shared<T: Default + Send + Sync + 'static>(&self) -> Arc<T> {
        let mut world = self.world.lock();
        let shared = world.shared.entry(TypeId::of::<T>());
        let shared = shared.or_insert_with(|| Arc::new(T::default()));
        let shared = shared.clone().downcast();
        shared.expect("it was kept under its type")
    }

    /// Reports a fact of your own: [`Fact::Own`]. Your invariants get it, and the timeline shows
    /// the first one of each name after each change of the world.
    pub fn tell(&self, name: &str, value: impl Into<serde_json::Value>) {
        let fact = Fact::Own {
            name: name.to_owned(),
            value: value.into(),
        };
        self.world.tell(&self.env, &fact);
    }
}
