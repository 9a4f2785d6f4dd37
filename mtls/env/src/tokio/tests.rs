use tokio::io::AsyncReadExt;

use super::*;

const ANY: &str = "127.0.0.1:0";

async fn claim(address: &str, sharing: Sharing) -> io::Result<TokioClaim> {
    let address = address.parse().unwrap();
    TokioEnv::new().claim(address, sharing).await
}

/// Why this address can't be bound or listened on.
async fn refused(address: &str, sharing: Sharing) -> Option<io::ErrorKind> {
    let listening = match claim(address, sharing).await {
        Ok(claim) => claim.listen().await.map(drop),
        Err(error) => Err(error),
    };
    listening.err().map(|error| error.kind())
}

const IN_USE: Option<io::ErrorKind> = Some(io::ErrorKind::AddrInUse);

/// The sockets of a router with this many workers.
async fn router(workers: usize) -> (Vec<TokioListener>, SocketAddr) {
    let first = match workers {
        1 => Sharing::Alone,
        _ => Sharing::First,
    };
    let first = claim(ANY, first).await.unwrap();
    let address = first.local_addr().unwrap();
    let mut sockets = vec![first.listen().await.unwrap()];
    for _ in 1..workers {
        let claim = claim(&address.to_string(), Sharing::Shared).await.unwrap();
        sockets.push(claim.listen().await.unwrap());
    }
    (sockets, address)
}

#[tokio::test]
async fn an_address_belongs_to_one_router() {
    for workers in [1, 4] {
        let (_sockets, address) = router(workers).await;
        let everywhere = format!("0.0.0.0:{}", address.port());
        for address in [address.to_string(), everywhere] {
            for sharing in [Sharing::Alone, Sharing::First] {
                let refused = refused(&address, sharing).await;
                assert_eq!(refused, IN_USE, "{workers} workers, {address}, {sharing:?}");
            }
        }
    }
    let (_sockets, address) = router(1).await;
    let shared = refused(&address.to_string(), Sharing::Shared).await;
    assert_eq!(shared, IN_USE, "one worker needs nobody beside it");
}

/// Both are bound before either listens, which the system allows.
#[tokio::test]
async fn of_two_that_start_at_the_same_moment_one_listens() {
    for sharing in [Sharing::Alone, Sharing::First] {
        let one = claim(ANY, sharing).await.unwrap();
        let address = one.local_addr().unwrap().to_string();
        let other = claim(&address, sharing).await.unwrap();
        let other_worker = claim(&address, Sharing::Shared).await.unwrap();
        let _listens = other.listen().await.unwrap();
        let late = one.listen().await.unwrap_err();
        assert_eq!(late.kind(), io::ErrorKind::AddrInUse, "{sharing:?}");
        drop(other_worker);
    }
}

#[tokio::test]
async fn who_shares_an_address_has_it_with_those_who_share_it_too() {
    let old = claim(ANY, Sharing::Shared).await.unwrap();
    let address = old.local_addr().unwrap().to_string();
    let _old = old.listen().await.unwrap();
    assert_eq!(refused(&address, Sharing::Shared).await, None);
    assert_eq!(refused(&address, Sharing::First).await, IN_USE);
}

#[tokio::test]
async fn connections_spread_over_the_workers() {
    const CONNECTIONS: usize = 400;
    let (sockets, address) = router(4).await;
    let mut counts = vec![0; sockets.len()];
    let (accepted, mut heard) = tokio::sync::mpsc::unbounded_channel();
    for (worker, mut socket) in sockets.into_iter().enumerate() {
        let accepted = accepted.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = socket.accept().await {
                let _ = accepted.send((worker, stream));
            }
        });
    }
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        open.push(TcpStream::connect(address).await.unwrap());
        let (worker, stream) = heard.recv().await.unwrap();
        open.push(stream);
        counts[worker] += 1;
    }
    // An even share is 100; by chance alone less than half of it is one in ten million.
    assert!(counts.iter().all(|count| *count >= 50), "{counts:?}");
}

/// The two ends of a connection.
async fn pair() -> (TcpStream, TcpStream) {
    let (mut sockets, address) = router(1).await;
    let (near, far) = tokio::join!(TcpStream::connect(address), sockets[0].accept());
    (near.unwrap(), far.unwrap().0)
}

/// Catches: a client that reads slowly, and is cut because the system holds too much for it to take more.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_system_holds_few_unsent_bytes_for_a_client() {
    let (_near, far) = pair().await;
    let socket = SockRef::from(&far);
    assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_MAX);
    assert!(socket.tcp_nodelay().unwrap());
}

#[tokio::test]
async fn a_stream_is_left_with_a_reset_or_in_order() {
    let (mut near, far) = pair().await;
    TokioEnv::leave(&far, Unsent::Discarded);
    drop(far);
    let error = near.read(&mut [0]).await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);

    let (mut near, far) = pair().await;
    let time = Duration::from_secs(7);
    TokioEnv::leave(&far, Unsent::SentWithin(time));
    #[cfg(target_os = "linux")]
    assert_eq!(SockRef::from(&far).tcp_user_timeout().unwrap(), Some(time));
    far.try_write(b"rest").unwrap();
    drop(far);
    let mut rest = Vec::new();
    near.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest, b"rest");
}
