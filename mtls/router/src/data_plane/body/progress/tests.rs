use tokio::time::advance;

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn paced() -> Progress {
    let progress = Progress::new(false);
    progress.set_pace(Pace {
        rate_min: 100,
        grace: SECOND * 10,
    });
    progress
}

fn left(progress: &Progress) -> Option<Duration> {
    let deadline = progress.client_deadline()?;
    Some(deadline.saturating_duration_since(Instant::now()))
}

#[tokio::test(start_paused = true)]
async fn bytes_buy_time_up_to_the_grace() {
    let progress = paced();
    progress.waits_for_client();
    advance(SECOND * 4).await;
    assert_eq!(left(&progress), Some(SECOND * 6));
    progress.moved(200, Turn::Cell);
    progress.waits_for_client();
    assert_eq!(left(&progress), Some(SECOND * 8));
    progress.moved(1_000_000, Turn::Cell);
    progress.waits_for_client();
    assert_eq!(left(&progress), Some(SECOND * 10), "no more than the grace");
}

#[tokio::test(start_paused = true)]
async fn a_byte_now_and_then_does_not_hold_a_place() {
    let progress = paced();
    let mut seconds = 0;
    progress.waits_for_client();
    while left(&progress) > Some(Duration::ZERO) {
        advance(SECOND).await;
        seconds += 1;
        progress.moved(1, Turn::Cell);
        progress.waits_for_client();
    }
    assert_eq!(seconds, 11, "10 s, and 10 ms for each byte");
}

#[tokio::test(start_paused = true)]
async fn what_the_cell_keeps_waiting_costs_the_client_nothing() {
    let progress = paced();
    progress.waits_for_client();
    progress.moved(1, Turn::Cell);
    advance(SECOND * 60).await;
    assert_eq!(left(&progress), None);
    progress.moved(1, Turn::Cell);
    progress.waits_for_client();
    assert_eq!(left(&progress), Some(SECOND * 10));
    progress.moved(0, Turn::Done);
    assert_eq!(left(&progress), None);
}
