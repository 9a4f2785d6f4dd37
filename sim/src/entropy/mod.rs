//! The time and the randomness that a simulated thread gets from the operating system.
//!
//! The router takes its time and its entropy from `Env`, but the libraries under it don't: h2
//! reads `std::time::Instant` to expire reset streams, every `HashMap` seeds its hasher from
//! `getrandom`, and tokio seeds the order of `select!` from a `HashMap`'s hasher. Any of these
//! makes two runs of one seed differ. They all end in two functions of libc, so this module
//! defines those two: a definition in the program wins over the one in the C library.
//!
//! Both do nothing special until a thread opts in with [`simulate`], and then only for that thread.
//! For every other thread they make the system call. (This skips the vDSO, which costs a tenth of a
//! microsecond, but needs no function pointer from `dlsym`.)
//!
//! This is the only unsafe code in the workspace. It is allowed here because there is no safe way to
//! define a C symbol.
#![allow(unsafe_code)]
#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "this is where the system's clocks are replaced"
)]

use std::cell::Cell;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The time of `CLOCK_MONOTONIC` when a simulation starts. It is small, so that a timed wait that adds
/// to it ends in the real clock's past and returns at once.
const MONOTONIC_ORIGIN: Duration = Duration::from_secs(10);

#[derive(Clone, Copy)]
struct Simulated {
    epoch: Duration,
    elapsed: Duration,
    random: u64,
}

thread_local! {
    // Constant and without a destructor, so that reading it neither allocates nor registers
    // anything: `clock_gettime` may be called at any moment of a thread's life.
    static SIMULATED: Cell<Option<Simulated>> = const { Cell::new(None) };
}

/// Ends the simulation of this thread's clock and entropy when it is dropped.
#[must_use = "the thread goes back to real time when this is dropped"]
pub(crate) struct Guard(());

impl Drop for Guard {
    fn drop(&mut self) {
        SIMULATED.set(None);
    }
}

/// Sets this thread's wall clock to `epoch` (since the Unix epoch), and takes its randomness from
/// `seed`.
///
/// # Panics
/// If the program doesn't call the two functions of this module, for example because of another
/// linker: a simulation would not be deterministic, and nothing would show it.
pub(crate) fn simulate(seed: u64, epoch: Duration) -> Guard {
    SIMULATED.set(Some(Simulated {
        epoch,
        elapsed: Duration::ZERO,
        random: seed,
    }));
    // The fields also keep the linker from leaving this object file out.
    std::hint::black_box((clock_gettime as *const (), getrandom as *const ()));
    let guard = Guard(());
    if supported() {
        let stopped = Instant::now() == Instant::now();
        let set = SystemTime::now() == UNIX_EPOCH + epoch;
        assert!(stopped && set, "the simulator's clock isn't linked in");
    }
    guard
}

/// Whether this platform resolves the C library's names the way that this module relies on.
/// Elsewhere simulations run and check invariants, but traces may differ between runs.
pub(crate) const fn supported() -> bool {
    cfg!(target_os = "linux")
}

/// Moves this thread's clocks to `elapsed` after the start of its simulation.
pub(crate) fn set_elapsed(elapsed: Duration) {
    if let Some(mut simulated) = SIMULATED.get() {
        simulated.elapsed = elapsed;
        SIMULATED.set(Some(simulated));
    }
}

/// Whether this thread runs a simulation.
pub(crate) fn is_simulated() -> bool {
    SIMULATED.get().is_some()
}

fn simulated_time(clock: libc::clockid_t) -> Option<Duration> {
    let simulated = SIMULATED.get()?;
    match clock {
        libc::CLOCK_REALTIME => Some(simulated.epoch + simulated.elapsed),
        libc::CLOCK_MONOTONIC => Some(MONOTONIC_ORIGIN + simulated.elapsed),
        _ => None,
    }
}

/// Fills `buffer` if this thread is simulated (splitmix64: Steele, Lea, Flood 2014).
fn simulated_random(buffer: &mut [u8]) -> bool {
    let Some(mut simulated) = SIMULATED.get() else {
        return false;
    };
    for chunk in buffer.chunks_mut(8) {
        simulated.random = simulated.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = simulated.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
    }
    SIMULATED.set(Some(simulated));
    true
}

/// Replaces libc's function of this name in the whole program.
///
/// # Safety
/// `out` must be valid for a write, as C requires.
#[cfg_attr(target_os = "linux", unsafe(no_mangle))]
unsafe extern "C" fn clock_gettime(
    clock: libc::clockid_t,
    out: *mut libc::timespec,
) -> libc::c_int {
    if let Some(time) = simulated_time(clock) {
        let time = libc::timespec {
            tv_sec: time.as_secs() as libc::time_t,
            tv_nsec: time.subsec_nanos() as libc::c_long,
        };
        // SAFETY: the caller promises that `out` may be written.
        unsafe { out.write(time) };
        return 0;
    }
    // SAFETY: the kernel checks both arguments itself.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, out) as libc::c_int }
}

/// Replaces libc's function of this name in the whole program.
///
/// # Safety
/// `buffer` must be valid for writes of `len` bytes, as C's contract has it.
#[cfg_attr(target_os = "linux", unsafe(no_mangle))]
unsafe extern "C" fn getrandom(
    buffer: *mut libc::c_void,
    len: libc::size_t,
    flags: libc::c_uint,
) -> libc::ssize_t {
    if is_simulated() && !buffer.is_null() {
        // SAFETY: the caller promises `len` writable bytes. They may be uninitialized, so they
        // are zeroed through the pointer before a slice is made of them.
        let bytes = unsafe {
            buffer.cast::<u8>().write_bytes(0, len);
            std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len)
        };
        simulated_random(bytes);
        return len as libc::ssize_t;
    }
    // SAFETY: the kernel checks all arguments itself.
    unsafe { libc::syscall(libc::SYS_getrandom, buffer, len, flags) as libc::ssize_t }
}

#[cfg(all(test, target_os = "linux"))]
mod tests;
