use std::future::poll_fn;

use tokio::io::{AsyncWriteExt, duplex};

use super::*;

/// Returns how long the connection lingers while the other side runs `other`.
async fn lasts(other: impl Future<Output = ()>, mut wire: tokio::io::DuplexStream) -> Duration {
    let began = Instant::now();
    let mut linger = Linger::new();
    let lingering = poll_fn(|cx| linger.poll(&mut wire, cx));
    tokio::select! {
        biased;
        () = lingering => {}
        () = async { other.await; std::future::pending().await } => {}
    }
    began.elapsed()
}

#[tokio::test(start_paused = true)]
async fn until_the_client_has_closed_its_side() {
    let (mut client, wire) = duplex(1 << 16);
    let other = async move {
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = client.write_all(&[7; 20_000]).await;
        }
        drop(client);
    };
    assert_eq!(lasts(other, wire).await, Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn no_longer_than_a_client_may_be_silent_or_all_of_it_may_last() {
    let (_silent, wire) = duplex(1 << 16);
    assert_eq!(lasts(async {}, wire).await, SILENCE_MAX);
    let (mut client, wire) = duplex(1 << 16);
    let dribbles = async move {
        loop {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let _ = client.write_all(b"x").await;
        }
    };
    assert_eq!(lasts(dribbles, wire).await, LASTS_MAX);
}

#[tokio::test(start_paused = true)]
async fn no_more_than_so_many_bytes() {
    let (mut client, wire) = duplex(1 << 20);
    let floods = async move { while client.write_all(&[7; 1 << 16]).await.is_ok() {} };
    assert_eq!(lasts(floods, wire).await, Duration::ZERO);
}
