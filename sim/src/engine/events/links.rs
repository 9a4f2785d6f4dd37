//! How long segments travel, and which links are held.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use super::flight::Flight;
use crate::random::Random;

/// Most segments are much faster than the slowest: the exponential distribution's rate, where 1 is the
/// whole range.
const LATENCY_RATE: f64 = 5.0;

/// Where segments stall, one of so many does.
const STALLS_ONE_OF: u64 = 20;

/// From one host to another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Way {
    pub(super) from: Ipv4Addr,
    pub(super) to: Ipv4Addr,
}

/// The shortest and longest time that a segment travels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Latency {
    pub(super) min: Duration,
    pub(super) max: Duration,
}

impl Latency {
    fn draw(self, random: &mut Random) -> Duration {
        let range = self.max.saturating_sub(self.min);
        if range.is_zero() {
            return self.min;
        }
        // 53 bits make every value below 1 that the type can hold evenly.
        let unit = (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        let share = -(1.0 - unit).ln() / LATENCY_RATE;
        self.min + range.mul_f64(share.min(1.0))
    }
}

/// The links of a world. Each direction is one of its own.
pub(super) struct Links {
    usual: Latency,
    special: BTreeMap<Way, Latency>,
    /// How much later some segments of a way come.
    stalls: BTreeMap<Way, Duration>,
    /// What arrived while its way was held, in order.
    held: BTreeMap<Way, Vec<Flight>>,
}

impl Links {
    pub(super) fn new(usual: Latency) -> Self {
        Self {
            usual,
            special: BTreeMap::new(),
            stalls: BTreeMap::new(),
            held: BTreeMap::new(),
        }
    }

    pub(super) fn latency(&self, way: Way, random: &mut Random) -> Duration {
        if way.from == way.to {
            return Duration::ZERO;
        }
        let travels = self.special.get(&way).unwrap_or(&self.usual).draw(random);
        match self.stalls.get(&way) {
            Some(later) if random.below(STALLS_ONE_OF) == 0 => travels + *later,
            Some(_) | None => travels,
        }
    }

    /// Makes some segments come this much later, or none.
    pub(super) fn set_stalls(&mut self, way: Way, later: Option<Duration>) {
        match later {
            Some(later) => self.stalls.insert(way, later),
            None => self.stalls.remove(&way),
        };
    }

    pub(super) fn set_latency(&mut self, way: Way, latency: Latency) {
        self.special.insert(way, latency);
    }

    pub(super) fn hold(&mut self, way: Way) {
        self.held.entry(way).or_default();
    }

    /// What was held.
    pub(super) fn release(&mut self, way: Way) -> Vec<Flight> {
        self.held.remove(&way).unwrap_or_default()
    }

    /// Keeps what has arrived if its way is held, otherwise gives it back.
    pub(super) fn pass(&mut self, way: Way, flight: Flight) -> Option<Flight> {
        match self.held.get_mut(&way) {
            Some(held) => {
                held.push(flight);
                None
            }
            None => Some(flight),
        }
    }
}
