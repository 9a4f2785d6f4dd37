//! A client that writes bytes and reads heads over plain HTTP/1.1.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::suspension::soon;
use crate::world::World;

pub(crate) struct Raw {
    pub io: TcpStream,
}

impl Raw {
    pub(crate) async fn new(world: &World) -> Self {
        let io = TcpStream::connect(("127.0.0.1", world.port)).await;
        Self { io: io.unwrap() }
    }

    pub(crate) async fn send(&mut self, bytes: &str) {
        self.io.write_all(bytes.as_bytes()).await.unwrap();
    }

    /// The next head, in lower case.
    pub(crate) async fn head(&mut self) -> String {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            head.push(soon(self.io.read_u8()).await.unwrap().into());
        }
        head.to_ascii_lowercase()
    }

    /// The head of the next answer, in lower case, and its body.
    pub(crate) async fn answer(&mut self) -> (String, String) {
        let head = self.head().await;
        let length = head.split("content-length: ").nth(1);
        let length = length.and_then(|rest| rest.split("\r\n").next()?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        soon(self.io.read_exact(&mut body)).await.unwrap();
        (head, String::from_utf8(body).unwrap())
    }

    /// The statuses of the next answer's heads, the final one last. Reads its body.
    pub(crate) async fn statuses(&mut self) -> Vec<u16> {
        let mut statuses = Vec::new();
        loop {
            let (head, _) = self.answer().await;
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            statuses.push(status);
            if status >= 200 {
                return statuses;
            }
        }
    }
}
