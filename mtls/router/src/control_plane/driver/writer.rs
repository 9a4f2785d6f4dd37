//! Writes last-known-good documents in the background, one at a time and in order.

use std::collections::BTreeMap;
use std::io;

use cellway_core::Unix;
use cellway_env::{Clock, Env};
use tokio::sync::mpsc;

pub(super) use crate::control_plane::last_known_good::Document;
use crate::control_plane::last_known_good::{DocumentId, LastKnownGood, Slot};
use crate::observe::event::{Event, Sink};

/// The most orders that wait. If the disk hangs, the newest documents are dropped, so memory stays
/// bounded.
const ORDERS_MAX: usize = 64;

/// An order to the writing task.
#[derive(Debug)]
pub(super) enum Order {
    /// Write this document from this source.
    Save(Slot, String, Document),
    /// Note that the document on disk was confirmed at this time.
    Confirm(Slot, Unix),
    /// Note that this document is on disk.
    Found(Slot, DocumentId),
}

/// Sends orders to the writing task.
#[derive(Debug)]
pub(super) struct LastKnownGoodWriter<E, S> {
    reporter: Reporter<E, S>,
    orders: mpsc::Sender<Order>,
}

impl<E: Env, S: Sink> LastKnownGoodWriter<E, S> {
    pub(super) fn start(
        env: &E,
        clock: &Clock<E>,
        sink: &S,
        last_known_good: LastKnownGood,
    ) -> Self {
        let (orders, waiting) = mpsc::channel(ORDERS_MAX);
        let reporter = Reporter {
            last_known_good,
            clock: clock.clone(),
            sink: sink.clone(),
        };
        let writer = WriterTask {
            reporter: reporter.clone(),
            there: BTreeMap::new(),
        };
        env.spawn(writer.run(env.clone(), waiting));
        Self { reporter, orders }
    }

    pub(super) fn last_known_good(&self) -> &LastKnownGood {
        &self.reporter.last_known_good
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
struct WriterTask<E, S> {
    reporter: Reporter<E, S>,
    /// The document in each file, where that is known.
    there: BTreeMap<Slot, DocumentId>,
}

impl<E: Env, S: Sink> WriterTask<E, S> {
    async fn run(mut self, env: E, mut orders: mpsc::Receiver<Order>) {
        while let Some(order) = orders.recv().await {
            if let Err((slot, error)) = self.write(&env, order).await {
                self.reporter.failed(&slot, &error.to_string());
            }
        }
    }

    async fn write(&mut self, env: &E, order: Order) -> Result<(), (Slot, io::Error)> {
        let last_known_good = &self.reporter.last_known_good;
        match order {
            Order::Found(slot, id) => {
                self.there.insert(slot, id);
            }
            Order::Save(slot, source, document) => {
                // Until the new document is written, a confirmation must not apply to the old one.
                self.there.remove(&slot);
                match last_known_good.save(env, &slot, &source, document).await {
                    Ok(id) => drop(self.there.insert(slot, id)),
                    Err(error) => return Err((slot, error)),
                }
            }
            Order::Confirm(slot, at) => {
                if let Some(id) = self.there.get(&slot)
                    && let Err(error) = last_known_good.confirm(env, &slot, id, at).await
                {
                    return Err((slot, error));
                }
            }
        }
        Ok(())
    }
}

/// Reports what couldn't be written.
#[derive(Clone, Debug)]
struct Reporter<E, S> {
    last_known_good: LastKnownGood,
    clock: Clock<E>,
    sink: S,
}

impl<E: Env, S: Sink> Reporter<E, S> {
    fn failed(&self, slot: &Slot, error: &str) {
        let file = self.last_known_good.path(slot);
        let event = Event::KeepFailed { file: &file, error };
        self.sink.emit(self.clock.now(), &event);
    }
}
