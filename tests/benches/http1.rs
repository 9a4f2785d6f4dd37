//! What the guard over HTTP/1.1 costs for each message.

use std::hint::black_box;

use cellway_core::http1::{Guard, Limits, RequestKind};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

/// A browser's request with a token of a usual size.
fn browser() -> Vec<u8> {
    let token = "eyJhbGciOiJSUzI1NiIsImtpZCI6Im9uZSJ9.".repeat(18);
    format!(
        "GET /api/v2/orders?status=open&page=3 HTTP/1.1\r\n\
         Host: shop.example.com\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n\
         Accept: application/json, text/plain, */*\r\n\
         Accept-Language: en-US,en;q=0.5\r\n\
         Accept-Encoding: gzip, deflate, br, zstd\r\n\
         Authorization: Bearer {token}\r\n\
         X-Requested-With: XMLHttpRequest\r\n\
         Connection: keep-alive\r\n\
         Referer: https://shop.example.com/orders\r\n\
         Sec-Fetch-Dest: empty\r\n\
         Sec-Fetch-Mode: cors\r\n\
         Sec-Fetch-Site: same-origin\r\n\
         Priority: u=0\r\n\r\n"
    )
    .into_bytes()
}

fn guard(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("http1_guard");
    let small = b"GET /orders HTTP/1.1\r\nHost: a\r\nUser-Agent: curl/8.5.0\r\nAccept: */*\r\n\r\n";
    let post = b"POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
                 Content-Length: 27\r\n\r\n{\"item\": 7, \"amount\": 12.5}";
    let chunked = b"POST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
                    1b\r\n{\"item\": 7, \"amount\": 12.5}\r\n0\r\n\r\n";
    let browser = browser();
    for (name, bytes) in [
        ("request_curl", &small[..]),
        ("request_browser_with_token", &browser),
        ("request_with_body", post),
        ("request_in_chunks", chunked),
    ] {
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        let mut guard = Guard::requests();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let scanned = guard.scan(black_box(bytes));
                assert!(scanned.pass == bytes.len() && scanned.found.is_none());
            });
        });
    }
    let answer = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\
                   Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nServer: cell\r\nETag: \"x\"\r\n\r\nhi";
    group.throughput(Throughput::Bytes(answer.len() as u64));
    let mut guard = Guard::answers(Limits::default());
    group.bench_function("answer", |bencher| {
        bencher.iter(|| {
            guard.expect_answer_to(RequestKind::Other);
            let scanned = guard.scan(black_box(answer));
            assert!(scanned.pass == answer.len() && scanned.found.is_none());
        });
    });
    group.finish();
}

criterion_group!(benches, guard);
criterion_main!(benches);
