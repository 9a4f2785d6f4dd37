use std::fs;

use cellway_testbed::Folder;
use rustix::process::{WaitOptions, WaitStatus, waitpid};

use super::*;

/// A next process that runs this script. Its standard input is the channel.
fn next(script: &str) -> Next {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Next::run(command).unwrap()
}

/// Gives the next process up when it has written `file`. Returns its id.
async fn given_up_at(file: &str, mut next: Next) -> Pid {
    let written = async {
        while fs::metadata(file).is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let env = TokioEnv::new();
    tokio::select! {
        served = next.serve(&env, Vec::new()) => panic!("{served:?}"),
        () = written => Pid::from_child(&next.child),
    }
}

/// How a process ended. `None` if somebody has waited for it before.
fn end_of(pid: Pid) -> Option<WaitStatus> {
    let (_, status) = waitpid(Some(pid), WaitOptions::empty()).ok()??;
    Some(status)
}

/// Catches: a process that is killed though it has accepted connections, so that their requests are
/// lost.
#[tokio::test]
async fn a_next_process_that_may_have_accepted_is_asked_to_drain() {
    let folder = Folder::generate();
    let file = folder.path("told");
    // It gets the end of the list of sockets, a zero byte, before the word.
    let script = format!(
        "trap 'exit 7' TERM; printf 'ready\\n' >&0; read word; echo \"$word\" > {file}.new; \
         mv {file}.new {file}; while :; do sleep 0.01; done"
    );
    let pid = given_up_at(&file, next(&script)).await;
    let told = fs::read_to_string(&file).unwrap();
    assert!(told.ends_with("go\n"), "{told:?}");
    let code = end_of(pid).and_then(|status| status.exit_status());
    assert_eq!(code, Some(7));
}

/// Catches: a process that goes on starting after it was given up, and then accepts.
#[tokio::test]
async fn a_next_process_that_is_not_ready_is_killed() {
    let folder = Folder::generate();
    let file = folder.path("started");
    let script = format!("trap '' TERM; : > {file}; while :; do sleep 0.01; done");
    let pid = given_up_at(&file, next(&script)).await;
    // Somebody who kills it waits for it, too.
    assert_eq!(end_of(pid).map(|status| status.as_raw()), None);
}

/// Catches: a process that is asked to stop though it serves, and one that is taken for serving.
#[tokio::test]
async fn a_next_process_that_says_the_words_in_order_serves() {
    let script = "printf 'ready\\n' >&0; read word; printf 'serves\\n' >&0; read more; exit 3";
    let mut next = next(script);
    next.serve(&TokioEnv::new(), Vec::new()).await.unwrap();
    let pid = Pid::from_child(&next.child);
    drop(next);
    let code = end_of(pid).and_then(|status| status.exit_status());
    assert_eq!(code, Some(3), "it was left alone");

    for wrong in [
        "printf 'serves\\n' >&0",
        "printf 'ready\\n' >&0; read word",
        ":",
    ] {
        let mut next = self::next(wrong);
        assert!(next.serve(&TokioEnv::new(), Vec::new()).await.is_err());
    }
}
