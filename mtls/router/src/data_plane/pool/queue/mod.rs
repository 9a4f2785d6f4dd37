//! Requests that wait for a place at a cell, or for a stream on its connections.
//!
//! A request that gets no place waits until one is free, up to a deadline. Tenants take turns: each
//! place goes to the next tenant whose oldest request may have it. So a tenant with a thousand
//! waiting requests delays another tenant by one place, not by a thousand. A tenant that may have no more,
//! by its share or by a limit of its own ([`caps`](super::caps)), misses its turns. The queue is bounded, and
//! its places have the same shares as the cell's, so no tenant can fill it.
//!
//! Requests of high [`Priority`] wait in a queue of their own, which has room when the other one is full
//! ([`HIGH_ROOM_PERCENT`]). They come first, but of [`HIGH_IN_A_ROW`] and one free places in a row, at
//! least one goes to another request that waits.
//!
//! The queue has a lock that all workers share. It is taken only while requests wait, because the cell or
//! their tenants are at their limits, and never held over a wait.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::sync::oneshot;

use super::caps::Capped;
use crate::settings::Priority;
use crate::shares::{Bound, Holder, LimitRefused, Resource, Stakes, Unadmitted};

/// How many free places in a row may go to requests of high priority while others wait.
const HIGH_IN_A_ROW: u8 = 3;

/// How many requests of high priority may wait, in percent of `queue_max`. They take no room of the
/// others.
const HIGH_ROOM_PERCENT: usize = 25;

/// The limits on a cell's requests. A request needs a place under each.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits<'a> {
    /// All that are in flight.
    pub(super) requests: &'a Bound,
    /// Those that wait for their answers, and how many may, if the cell has an adaptive limit.
    pub(super) unanswered: Option<(&'a Bound, usize)>,
    /// How many places there are now, if something else than the configuration changes that.
    pub(super) now: Option<usize>,
}

/// How many places a cell has, and which limit says so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Places {
    pub(super) most: usize,
    pub(super) resource: Resource,
}

/// A request that asks for a place.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) stakes: &'a Stakes,
    pub(crate) priority: Priority,
    /// The limits of its tenant and its placement.
    pub(crate) capped: Option<Arc<Capped>>,
}

/// What a request has taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    /// Whether it has a place among those that wait for their answers.
    pub(super) unanswered: bool,
}

impl Limits<'_> {
    /// Takes a place under each limit, the cell's and the request's own.
    ///
    /// # Errors
    /// Why there is none. Then nothing is taken.
    pub(super) fn take(
        &self,
        places: Places,
        stakes: &Stakes,
        capped: Option<&Capped>,
    ) -> Result<Taken, Unadmitted> {
        // Most refusals of these end here, and cost the cell's other requests nothing.
        capped.map_or(Ok(()), Capped::look)?;
        let Places { most, resource } = places;
        let taken = self.take_at_cell(most, stakes);
        let taken = taken.map_err(|full| Unadmitted { full, resource })?;
        if let Some(Err(refused)) = capped.map(|capped| capped.take(stakes)) {
            self.give_back(taken, stakes.map(|stake| stake.holder));
            return Err(refused);
        }
        Ok(taken)
    }

    fn take_at_cell(&self, most: usize, stakes: &Stakes) -> Result<Taken, LimitRefused> {
        let most = self.now.map_or(most, |now| now.min(most));
        self.requests.take(most, stakes)?;
        let Some((unanswered, limit)) = self.unanswered else {
            return Ok(Taken { unanswered: false });
        };
        match unanswered.take(limit.min(most), stakes) {
            Ok(()) => Ok(Taken { unanswered: true }),
            Err(refused) => {
                (self.requests).give_back(stakes.map(|stake| stake.holder));
                Err(refused)
            }
        }
    }

    fn give_back(&self, taken: Taken, holders: [Holder; 3]) {
        if let (true, Some((unanswered, _))) = (taken.unanswered, self.unanswered) {
            unanswered.give_back(holders);
        }
        self.requests.give_back(holders);
    }
}

/// The requests that wait for one cell.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// How many wait. It is changed with the lock held, and read without.
    waiting: AtomicUsize,
    state: Mutex<State>,
    /// By priority. Made when the first request waits, because each takes 16 KiB and most cells never
    /// need it.
    places: [OnceLock<Bound>; Priority::ALL.len()],
}

#[derive(Debug, Default)]
struct State {
    /// By priority.
    lanes: [Lane; Priority::ALL.len()],
    /// How many places in a row went to requests of high priority while others waited.
    high_in_a_row: u8,
    next_id: u64,
}

/// The tenants with waiting requests. The first has the next turn.
type Lane = VecDeque<(Holder, VecDeque<Waiting>)>;

#[derive(Debug)]
struct Waiting {
    id: u64,
    /// How many places the cell has under the request's configuration.
    places: Places,
    stakes: Stakes,
    capped: Option<Arc<Capped>>,
    granted: oneshot::Sender<Taken>,
}

/// A request's place in the queue. It leaves the queue when this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    queue: &'a Queue,
    priority: Priority,
    id: u64,
    holders: [Holder; 3],
    pub(super) granted: oneshot::Receiver<Taken>,
}

impl Queue {
    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// Adds a request that found none of the cell's places free. The caller must
    /// [`dispatch`](Self::dispatch) afterwards, because one may be free by now.
    ///
    /// # Errors
    /// The queue is full, or one of the request's holders has used up its share of the queue.
    pub(super) fn enter(
        &self,
        queue_max: usize,
        places: Places,
        claim: &Claim<'_>,
    ) -> Result<Place<'_>, LimitRefused> {
        let (stakes, priority) = (claim.stakes, claim.priority);
        let room = match priority {
            Priority::Normal => queue_max,
            Priority::High => (queue_max.saturating_mul(HIGH_ROOM_PERCENT) / 100).max(1),
        };
        self.places(priority).take(room, stakes)?;
        let (sender, granted) = oneshot::channel();
        let mut state = self.lock();
        let id = state.next_id;
        state.next_id += 1;
        let waiting = Waiting {
            id,
            places,
            stakes: *stakes,
            capped: claim.capped.clone(),
            granted: sender,
        };
        let tenant = tenant(stakes);
        let lane = &mut state.lanes[priority as usize];
        match lane.iter_mut().find(|(it, _)| *it == tenant) {
            Some((_, requests)) => requests.push_back(waiting),
            None => lane.push_back((tenant, VecDeque::from([waiting]))),
        }
        self.waiting.fetch_add(1, SeqCst);
        Ok(Place {
            queue: self,
            priority,
            id,
            holders: stakes.map(|stake| stake.holder),
            granted,
        })
    }

    /// Gives the cell's free places to waiting requests, one for each tenant in turn. The cell has at
    /// most what each request's configuration allows.
    pub(super) fn dispatch(&self, cell: Limits<'_>) {
        if self.waiting() == 0 {
            return;
        }
        let mut state = self.lock();
        while state.high_first().into_iter().any(|priority| {
            let lane = &mut state.lanes[priority as usize];
            let granted = self.grant_next(lane, cell);
            state.high_in_a_row = match (granted, priority) {
                (false, _) => state.high_in_a_row,
                (true, Priority::High) if state.someone_waits(Priority::Normal) => {
                    state.high_in_a_row.saturating_add(1)
                }
                (true, Priority::High | Priority::Normal) => 0,
            };
            granted
        }) {}
    }

    /// Gives one place to the next tenant that may have it. Returns whether one got it.
    fn grant_next(&self, lane: &mut Lane, cell: Limits<'_>) -> bool {
        // How many tenants in a row got no place.
        let mut passed_over = 0;
        while passed_over < lane.len()
            && let Some((tenant, mut requests)) = lane.pop_front()
        {
            let granted = self.grant_first(&mut requests, cell);
            if !requests.is_empty() {
                let turn = (tenant, requests);
                match granted {
                    // There is none for anybody, and the turn stays with this tenant.
                    Err(Unadmitted {
                        full: LimitRefused::All,
                        ..
                    }) => {
                        lane.push_front(turn);
                        return false;
                    }
                    Ok(_) | Err(_) => lane.push_back(turn),
                }
            }
            match granted {
                Ok(true) => return true,
                // All its clients have gone away.
                Ok(false) => {}
                Err(_) => passed_over += 1,
            }
        }
        false
    }

    /// Gives a place to the first of these requests that still waits. `false`: none does.
    fn grant_first(
        &self,
        requests: &mut VecDeque<Waiting>,
        cell: Limits<'_>,
    ) -> Result<bool, Unadmitted> {
        while let Some(first) = requests.front() {
            let (stakes, capped) = (first.stakes, first.capped.clone());
            let taken = cell.take(first.places, &stakes, capped.as_deref())?;
            let granted = requests.pop_front().map(|it| it.granted.send(taken));
            self.waiting.fetch_sub(1, SeqCst);
            if granted == Some(Ok(())) {
                return Ok(true);
            }
            // Its client has gone away.
            let holders = stakes.map(|stake| stake.holder);
            cell.give_back(taken, holders);
            if let Some(capped) = capped {
                capped.give_back(holders);
            }
        }
        Ok(false)
    }

    fn places(&self, priority: Priority) -> &Bound {
        self.places[priority as usize].get_or_init(Bound::default)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The priorities in the order in which the next free place is offered to them.
    fn high_first(&self) -> [Priority; 2] {
        match self.high_in_a_row < HIGH_IN_A_ROW {
            true => [Priority::High, Priority::Normal],
            false => [Priority::Normal, Priority::High],
        }
    }

    fn someone_waits(&self, priority: Priority) -> bool {
        !self.lanes[priority as usize].is_empty()
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
        let turns = &mut state.lanes[self.priority as usize];
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
        self.queue.places(self.priority).give_back(self.holders);
    }
}

#[cfg(test)]
mod tests;
