//! How the binary gets keys and the registry: through a proxy, and from a file that looks
//! unchanged.

use std::fs::{self, File, FileTimes};
use std::io::{Read, Write, copy};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Listener};
use cellway_testbed::{
    Ca, CertificateSpec, IdentityProvider, Key, San, ServerTls, TlsProvider, Usage, Validity,
};

use crate::serving::{Serving, WAIT_MAX, get, get_with};
use crate::{CONFIG, Folder, REGISTRY, signer, token};

/// An identity provider that calls itself `idp.example`: its port, and the authority behind it.
fn identity_provider() -> (u16, String) {
    let validity = Validity::around(TokioEnv::new().unix_now(), Duration::from_secs(86_400));
    let ca = Ca::new("ca", &Key::from_seed([1; 32]), validity, 1).unwrap();
    let own = San::Dns("idp.example".to_owned());
    let spec = CertificateSpec::new("idp", own, Usage::Server, validity, 2);
    let credential = ca.issue(&spec, &Key::from_seed([2; 32])).unwrap();
    let provider = TlsProvider::default();
    let tls = ServerTls::new(provider.server(&credential, None).unwrap());
    let idp = IdentityProvider::new("https://idp.example", signer());
    let (tell, port) = channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async move {
            let env = TokioEnv::new();
            let address = (IpAddr::V4(Ipv4Addr::LOCALHOST), 0).into();
            let listener = env.bind(address, false).await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            idp.serve(env, listener, tls).await.unwrap();
        });
    });
    (port.recv().unwrap(), ca.pem())
}

/// A proxy that opens a tunnel to this port for every request, and reports the requests.
fn proxy(to: u16) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, asked) = channel();
    thread::spawn(move || {
        for mut near in listener.incoming().map_while(Result::ok) {
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && near.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let _ = tell.send(head.lines().next().unwrap_or_default().to_owned());
            let mut far = TcpStream::connect(("127.0.0.1", to)).unwrap();
            near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
                .unwrap();
            let (mut back, mut there) = (far.try_clone().unwrap(), near.try_clone().unwrap());
            thread::spawn(move || copy(&mut back, &mut there));
            thread::spawn(move || copy(&mut near, &mut far));
        }
    });
    (port, asked)
}

/// Catches: a binary that doesn't read the variable, or bypasses the proxy.
#[test]
fn the_binary_reaches_its_sources_through_https_proxy() {
    let folder = Folder::new();
    let (idp, authority) = identity_provider();
    let (port, asked) = proxy(idp);
    folder.write("ca.pem", &authority);
    let config = CONFIG.replace("jwks_file = \"keys.json\"\n", "");
    folder.write(
        "cellway.toml",
        format!("{config}\n[fetch]\nbundle = \"ca.pem\"\n"),
    );
    // Names that end in ".example" don't exist (RFC 2606), so keys can only come through the proxy.
    let variables = [
        ("HTTPS_PROXY", &*format!("http://127.0.0.1:{port}")),
        ("https_proxy", ""),
        ("NO_PROXY", ""),
        ("no_proxy", ""),
    ];
    let mut serving = Serving::with(&folder.config(), &variables);
    let admin = serving.address("admin");
    let public = serving.address("local");
    let asked = asked.recv_timeout(WAIT_MAX).expect("the proxy is asked");
    assert_eq!(asked, "CONNECT idp.example:443 HTTP/1.1");
    serving.ready(&admin);
    // Nothing listens at the cell's address, so this reason means that the token was verified.
    let answer = get_with(&public, "/", &token("acme", false));
    assert!(
        answer.contains("x-cellway-reason: cell_unreachable"),
        "{answer}"
    );
    let page = get(&admin, "/readyz");
    assert!(page.contains("\"keys\":{\"main\":\"fresh\"}"), "{page}");
}

/// Catches: a changed file that counts as unchanged because its size, inode and time are the same.
#[test]
fn a_registry_that_looks_unchanged_is_read_at_sighup() {
    let folder = Folder::new();
    let path = folder.root().join("registry.json");
    let mut serving = Serving::start(&folder.config());
    serving.wait("registry_applied");
    let before = fs::metadata(&path).unwrap();
    // Written in place, with the same length and the same time.
    fs::write(&path, REGISTRY.replace("\"version\": 1", "\"version\": 2")).unwrap();
    let times = FileTimes::new().set_modified(before.modified().unwrap());
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_times(times)
        .unwrap();
    let after = fs::metadata(&path).unwrap();
    let seen = |of: &fs::Metadata| (of.len(), of.ino(), of.mtime_nsec(), of.mtime());
    assert_eq!(seen(&before), seen(&after));
    serving.signal("-HUP");
    assert_eq!(serving.wait("registry_applied")["version"], 2);
}
