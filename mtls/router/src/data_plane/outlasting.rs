//! The rest of an upload whose answer has begun: it is sent by a task of its own, for as long as somebody
//! has the connection.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::oneshot::{self, error::TryRecvError};

/// What the holder of a connection knows about the rest of an upload. Once this is dropped, no more of it
/// is sent.
#[derive(Debug)]
pub(crate) struct Outlasting {
    _here: oneshot::Sender<()>,
    whole: oneshot::Receiver<()>,
}

/// What sends the rest has this.
#[derive(Debug)]
pub(crate) struct Tie {
    gone: oneshot::Receiver<()>,
    /// Resolves when all was sent. Dropped if it wasn't.
    whole: Option<oneshot::Sender<()>>,
}

impl Outlasting {
    pub(crate) fn new() -> (Tie, Self) {
        let (_here, gone) = oneshot::channel();
        let (told, whole) = oneshot::channel();
        let tie = Tie {
            gone,
            whole: Some(told),
        };
        (tie, Self { _here, whole })
    }

    /// Whether all is sent. `None`: not yet.
    pub(crate) fn is_whole(&mut self) -> Option<bool> {
        match self.whole.try_recv() {
            Ok(()) => Some(true),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Closed) => Some(false),
        }
    }

    /// Waits until all is sent. `false`: the cell doesn't get all of it.
    pub(crate) async fn whole(&mut self) -> bool {
        (&mut self.whole).await.is_ok()
    }
}

impl Tie {
    /// Ready when nobody has the connection any more. Wakes the task then.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        Pin::new(&mut self.gone).poll(cx).map(drop)
    }

    /// Tells the holder that all is sent.
    pub(crate) fn completes(&mut self) {
        if let Some(whole) = self.whole.take() {
            let _ = whole.send(());
        }
    }
}
