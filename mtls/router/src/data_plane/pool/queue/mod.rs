//! Requests that wait for a place at a cell.
//!
//! A request that gets no place waits until one is free, up to a deadline. Tenants take turns: each
//! place goes to the next tenant whose oldest request may have it. So a tenant with a thousand
//! waiting requests delays another tenant by one place, not by a thousand. The queue is bounded, and
//! its places have the same shares as the cell's, so no tenant can fill it.
//!
//! The queue has a lock that all workers share. It is taken only while the cell is at its limit, and
//! never held over a wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::oneshot;

use crate::shares::{Bound, Holder, LimitRefused, Stakes};

/// The requests that wait for one cell.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// How many wait. It is changed with the lock held, and read without.
    waiting: AtomicUsize,
    state: Mutex<State>,
    /// Made when the first request waits, because it takes 16 KiB and most cells never need it.
    places: OnceLock<Bound>,
}

#[derive(Debug, Default)]
struct State {
    /// The tenants with waiting requests. The first has the next turn.
    tenants: VecDeque<(Holder, VecDeque<Waiting>)>,
    next_id: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    /// How many places the cell has under the request's configuration.
    most: usize,
    stakes: Stakes,
    granted: oneshot::Sender<()>,
}

/// A request's place in the queue. It leaves the queue when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    queue: &'a Queue,
    id: u64,
    holders: [Holder; 3],
    pub(super) granted: oneshot::Receiver<()>,
}

impl Queue {
    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Adds a request that found none of the cell's `most` places free. The caller must
    /// [`dispatch`](Self::dispatch) afterwards, because one may be free by now.
    ///
    /// # Errors
    /// The queue is full, or one of the request's holders has used up its share of the queue.
    pub(super) fn enter(
        &self,
        queue_max: usize,
        most: usize,
        stakes: &Stakes,
    ) -> Result<Place<'_>, LimitRefused> {
        self.places().take(queue_max, stakes)?;
        let (sender, granted) = oneshot::channel();
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        let waiting = Waiting {
            id,
            most,
            stakes: *stakes,
            granted: sender,
        };
        let tenant = tenant(stakes);
        match state.tenants.iter_mut().find(|(it, _)| *it == tenant) {
            Some((_, requests)) => requests.push_back(waiting),
            None => state.tenants.push_back((tenant, VecDeque::from([waiting]))),
        }
        self.waiting.fetch_add(1, SeqCst);
        Ok(Place {
            queue: self,
            id,
            holders: stakes.map(|stake| stake.holder),
            granted,
        })
    }

    /// Gives the cell's free places to waiting requests, one for each tenant in turn. The cell has at
    /// most `places`, and at most what each request's configuration allows.
    pub(super) fn dispatch(&self, cell: &Bound, places: usize) {
        if self.waiting() == 0 {
            return;
        }
        let mut state = self.lock();
        // How many tenants in a row got no place.
        let mut passed_over = 0;
        while passed_over < state.tenants.len()
            && let Some((tenant, mut requests)) = state.tenants.pop_front()
        {
            let granted = self.grant_first(&mut requests, cell, places);
            if !requests.is_empty() {
                let turn = (tenant, requests);
                match granted {
                    // There is none for anybody, and the turn stays with this tenant.
                    Err(LimitRefused::All) => return state.tenants.push_front(turn),
                    Ok(()) | Err(_) => state.tenants.push_back(turn),
                }
            }
            passed_over = match granted {
                Ok(()) => 0,
                Err(_) => passed_over + 1,
            };
        }
    }

    /// Gives a place to the first of these requests that still waits.
    fn grant_first(
        &self,
        requests: &mut VecDeque<Waiting>,
        cell: &Bound,
        places: usize,
    ) -> Result<(), LimitRefused> {
        while let Some(Waiting { most, stakes, .. }) = requests.front() {
            let (most, stakes) = ((*most).min(places), *stakes);
            cell.take(most, &stakes)?;
            let granted = requests.pop_front().map(|it| it.granted.send(()));
            self.waiting.fetch_sub(1, SeqCst);
            if granted == Some(Ok(())) {
                return Ok(());
            }
            // Its client has gone away.
            cell.give_back(stakes.map(|stake| stake.holder));
        }
        Ok(())
    }

    fn places(&self) -> &Bound {
        self.places.get_or_init(Bound::default)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The tenant's holder. Tenants whose holders are the same by chance share their turns.
fn tenant(stakes: &Stakes) -> Holder {
    let [_, _, tenant] = stakes;
    tenant.holder
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        let [.., tenant] = self.holders;
        let turns = &mut state.tenants;
        if let Some(at) = turns.iter().position(|(it, _)| *it == tenant) {
            let requests = &mut turns[at].1;
            let before = requests.len();
            requests.retain(|waiting| waiting.id != self.id);
            let left = before - requests.len();
            if requests.is_empty() {
                turns.remove(at);
            }
            self.queue.waiting.fetch_sub(left, SeqCst);
        }
        drop(state);
        self.queue.places().give_back(self.holders);
    }
}

#[cfg(test)]
mod tests;
