use std::net::{Ipv4Addr, TcpListener, TcpStream as StdStream};

use socket2::{Domain, Socket, Type};

use super::*;

/// The default connect timeout of a router.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug)]
struct Fixed(Vec<SocketAddr>);

impl Resolve for Fixed {
    fn resolve<'a>(&'a self, _: &'a str, _: u16) -> Resolving<'a> {
        let addresses = self.0.clone();
        Box::pin(async move { Ok(addresses) })
    }
}

fn loopback(last: u8, port: u16) -> SocketAddr {
    (Ipv4Addr::new(127, 0, 0, last), port).into()
}

fn listener(last: u8) -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind(loopback(last, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// An address that swallows packets: its backlog is full.
struct BlackHole {
    address: SocketAddr,
    _held: (Socket, Vec<StdStream>),
}

fn black_hole(last: u8) -> BlackHole {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&loopback(last, 0).into()).unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut waiting = Vec::new();
    let patience = Duration::from_millis(200);
    while let Ok(stream) = StdStream::connect_timeout(&address, patience) {
        waiting.push(stream);
    }
    BlackHole {
        address,
        _held: (socket, waiting),
    }
}

async fn reached(addresses: &[SocketAddr]) -> io::Result<SocketAddr> {
    let resolver = Fixed(addresses.to_vec());
    let connecting = connect(&resolver, "cell.test", 1);
    match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
        Ok(stream) => stream?.peer_addr(),
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

#[tokio::test]
async fn silent_addresses_keep_nobody_from_the_one_that_answers() {
    let (first, second) = (black_hole(2), black_hole(3));
    let (_listener, good) = listener(1);
    let addresses = [first.address, second.address, good];
    assert_eq!(reached(&addresses).await.unwrap(), good);
    let silent = reached(&addresses[..2]).await.unwrap_err();
    assert_eq!(silent.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn all_addresses_are_tried_and_the_first_failure_is_told() {
    let refusing = [4, 5].map(|last| listener(last).1);
    let (_listener, good) = listener(1);
    let addresses = [refusing[0], refusing[1], good];
    assert_eq!(reached(&addresses).await.unwrap(), good);
    let refused = reached(&refusing).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    let nowhere = reached(&[]).await.unwrap_err();
    assert_eq!(nowhere.kind(), io::ErrorKind::NotFound);
}

#[test]
fn families_take_turns() {
    let parse = |text: &str| text.parse::<SocketAddr>().unwrap();
    let six = [1, 2, 3].map(|n| parse(&format!("[2001:db8::{n}]:1")));
    let four = [1, 2].map(|n| parse(&format!("192.0.2.{n}:1")));
    let given = [six.as_slice(), &four].concat();
    assert_eq!(
        alternating(given),
        [six[0], four[0], six[1], four[1], six[2]]
    );
    let given = [four.as_slice(), &six].concat();
    assert_eq!(
        alternating(given),
        [four[0], six[0], four[1], six[1], six[2]]
    );
    assert_eq!(alternating(vec![six[0]; 40]).len(), ADDRESSES_MAX);
}

#[tokio::test]
async fn the_kernel_looks_for_dead_peers() {
    let (_listener, good) = listener(1);
    let stream = connect(&Fixed(vec![good]), "cell.test", 1).await.unwrap();
    let socket = SockRef::from(&stream);
    assert!(socket.keepalive().unwrap());
    assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_IDLE);
    #[cfg(target_os = "linux")]
    assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED_MAX));
}
