//! Notices panics that tokio would swallow.

use std::cell::RefCell;
use std::sync::Once;

use crate::entropy;

thread_local! {
    static FIRST: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Records the first panic of each simulated thread from now on. The hook that was there before still
/// gets the panics of all threads.
pub(super) fn install_hook() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if entropy::is_simulated() {
                FIRST.with_borrow_mut(|first| {
                    first.get_or_insert_with(|| info.to_string().replace('\n', " "));
                });
            }
            previous(info);
        }));
    });
}

/// The first panic of this thread since the last call.
pub(super) fn take() -> Option<String> {
    FIRST.take()
}
