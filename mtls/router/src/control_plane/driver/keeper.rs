//! Writes last-known-good documents in the background, one at a time and in order.

use std::collections::BTreeMap;
use std::io;

use cellway_core::Unix;
use cellway_env::{Clock, Env};
use tokio::sync::mpsc;

pub(super) use crate::control_plane::keep::Kept;
use crate::control_plane::keep::{Keep, KeptId, Slot};
use crate::observe::event::{Event, Sink};

/// Most orders that wait. A disk that hangs costs the newest documents, never memory.
const ORDERS_MAX: usize = 64;

/// What to write.
#[derive(Debug)]
pub(super) enum Order {
    /// This document, from this source.
    Save(Slot, String, Kept),
    /// The document that is there is still good at this time.
    Confirm(Slot, Unix),
    /// This is the document that is there.
    Found(Slot, KeptId),
}

/// The way to the writing task.
#[derive(Debug)]
pub(super) struct Keeper<E, S> {
    reporter: Reporter<E, S>,
    orders: mpsc::Sender<Order>,
}

impl<E: Env, S: Sink> Keeper<E, S> {
    pub(super) fn start(env: &E, clock: &Clock<E>, sink: &S, keep: Keep) -> Self {
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        let reporter = Reporter {
            keep,
            clock: clock.clone(),
            sink: sink.clone(),
        };
        let writer = Writer {
            reporter: reporter.clone(),
            there: BTreeMap::new(),
        };
        env.spawn(writer.run(env.clone(), waiting));
        Self { reporter, orders }
    }

    pub(super) fn keep(&self) -> &Keep {
        &self.reporter.keep
    }

    pub(super) fn order(&self, order: Order) {
        if let Err(lost) = self.orders.try_send(order) {
            let (Order::Save(slot, ..) | Order::Confirm(slot, _) | Order::Found(slot, _)) =
                lost.into_inner();
            self.reporter
                .failed(&slot, "too many documents are waiting to be written");
        }
    }
}

/// The writing task.
#[derive(Debug)]
struct Writer<E, S> {
    reporter: Reporter<E, S>,
    /// What each file holds, where that is known.
    there: BTreeMap<Slot, KeptId>,
}

impl<E: Env, S: Sink> Writer<E, S> {
    async fn run(mut self, env: E, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            if let Err((slot, error)) = self.write(&env, order).await {
                self.reporter.failed(&slot, &error.to_string());
            }
        }
    }

    async fn write(&mut self, env: &E, order: Order) -> Result<(), (Slot, io::Error)> {
        let keep = &self.reporter.keep;
        match order {
            Order::Found(slot, id) => {
                self.there.insert(slot, id);
            }
            Order::Save(slot, source, kept) => {
                // Until it is written, what the file holds isn't what will be confirmed.
                self.there.remove(&slot);
                match keep.save(env, &slot, &source, kept).await {
                    Ok(id) => drop(self.there.insert(slot, id)),
                    Err(error) => return Err((slot, error)),
                }
            }
            Order::Confirm(slot, at) => {
                if let Some(id) = self.there.get(&slot)
                    && let Err(error) = keep.confirm(env, &slot, id, at).await
                {
                    return Err((slot, error));
                }
            }
        }
        Ok(())
    }
}

/// Says what could not be written.
#[derive(Clone, Debug)]
struct Reporter<E, S> {
    keep: Keep,
    clock: Clock<E>,
    sink: S,
}

impl<E: Env, S: Sink> Reporter<E, S> {
    fn failed(&self, slot: &Slot, error: &str) {
        let file = self.keep.path(slot);
        let event = Event::KeepFailed { file: &file, error };
        self.sink.emit(self.clock.now(), &event);
    }
}
