//! What a host runs, from one start to the next crash.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::task::{JoinHandle, LocalSet};

/// Starts a program among a host's tasks.
type Spawn = Box<dyn Fn(&LocalSet) -> JoinHandle<()>>;

/// Starts a host's program, again after each crash.
pub(super) struct Programs {
    slot: Rc<RefCell<Slot>>,
    spawn: Spawn,
}

/// A host's place in the world, which stays over its crashes.
struct Slot {
    name: String,
    life: Option<Life>,
    /// Wakes the host's future when a new life begins.
    waker: Option<Waker>,
}

struct Life {
    tasks: LocalSet,
    main: JoinHandle<()>,
}

impl Programs {
    pub(super) fn new<F, Run>(name: &str, program: F) -> Self
    where
        F: Fn() -> Run + 'static,
        Run: Future<Output = ()> + 'static,
    {
        Self {
            slot: Rc::new(RefCell::new(Slot {
                name: name.to_owned(),
                life: None,
                waker: None,
            })),
            spawn: Box::new(move |tasks| tasks.spawn_local(program())),
        }
    }

    /// The future that runs whichever life the host has.
    pub(super) fn program(&self) -> Program {
        Program(self.slot.clone())
    }

    pub(super) fn start(&self) {
        let tasks = LocalSet::new();
        let main = (self.spawn)(&tasks);
        let mut slot = self.slot.borrow_mut();
        slot.life = Some(Life { tasks, main });
        if let Some(waker) = slot.waker.take() {
            waker.wake();
        }
    }

    /// Drops all tasks of the host.
    pub(super) fn stop(&self) {
        // Taken out first: what a task drops may ask for the slot.
        let life = self.slot.borrow_mut().life.take();
        drop(life);
    }
}

/// Runs a host's tasks. It ends, with the host's name, only if the host's program does.
pub(super) struct Program(Rc<RefCell<Slot>>);

impl Future for Program {
    type Output = String;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<String> {
        super::set_clocks();
        let mut slot = self.0.borrow_mut();
        slot.waker = Some(cx.waker().clone());
        let Some(life) = &mut slot.life else {
            return Poll::Pending;
        };
        // It is ready when no task is left, and then the program has ended as well.
        let _done = Pin::new(&mut life.tasks).poll(cx);
        match life.main.is_finished() {
            true => Poll::Ready(slot.name.clone()),
            false => Poll::Pending,
        }
    }
}
