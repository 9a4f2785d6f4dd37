use cellway_router::event::Changed;

use super::*;

/// A manager at an address of its own, and the router's side of it.
fn manager() -> (UnixDatagram, Supervisor) {
    let name = format!(
        "cellway-test-{}-{:?}",
        std::process::id(),
        std::thread::current().id()
    );
    let socket = UnixDatagram::bind_addr(&abstract_name(name.as_bytes()).unwrap()).unwrap();
    let supervisor = Supervisor::at(OsStr::new(&format!("@{name}"))).unwrap();
    (socket, supervisor)
}

fn told(manager: &UnixDatagram) -> String {
    let mut buffer = [0; 1024];
    let len = manager.recv(&mut buffer).unwrap();
    String::from_utf8_lossy(&buffer[..len]).into_owned()
}

fn has_told(manager: &UnixDatagram) -> bool {
    manager.set_nonblocking(true).unwrap();
    let told = manager.recv(&mut [0; 1024]).is_ok();
    manager.set_nonblocking(false).unwrap();
    told
}

#[test]
fn the_manager_is_told_in_its_own_words() {
    let (manager, supervisor) = manager();
    supervisor.ready();
    assert_eq!(told(&manager), "READY=1\nSTATUS=serving");
    // systemd refuses a time in the future or before the signal.
    supervisor.reloading();
    let reloading = told(&manager);
    let micros = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=");
    let micros: i64 = micros.unwrap().parse().unwrap();
    let now = clock_gettime(ClockId::Monotonic).tv_sec;
    assert!((now - 60..=now).contains(&(micros / 1_000_000)), "{micros}");
    supervisor.stopping(Duration::from_secs(35));
    assert_eq!(
        told(&manager),
        "STOPPING=1\nSTATUS=draining\nEXTEND_TIMEOUT_USEC=35000000"
    );
    supervisor.main_process(7);
    assert_eq!(told(&manager), "MAINPID=7");
}

/// Ends a reload, for better or worse.
fn reload(supervisor: &Supervisor, error: Option<&str>) {
    let now = Now {
        mono: cellway_core::Mono::default(),
        unix: cellway_core::Unix::from_epoch(Duration::ZERO),
    };
    supervisor.reloading();
    match error {
        None => supervisor.emit(
            now,
            &Event::Reloaded {
                changed: &Changed::default(),
            },
        ),
        Some(error) => supervisor.emit(now, &Event::ReloadRefused { error }),
    }
}

/// Catches: a unit that has started, or goes on, for the manager because of a reload.
#[test]
fn a_reload_says_nothing_before_the_router_serves_and_while_it_drains() {
    let (manager, supervisor) = manager();
    let reload_twice = || {
        reload(&supervisor, None);
        reload(&supervisor, Some("bad"));
        has_told(&manager)
    };
    assert!(!reload_twice(), "while it starts");
    supervisor.ready();
    told(&manager);
    assert!(reload_twice(), "while it serves");
    while has_told(&manager) {}
    supervisor.stopping(Duration::from_secs(35));
    told(&manager);
    assert!(!reload_twice(), "while it drains");
    supervisor.ready();
    supervisor.main_process(7);
    while has_told(&manager) {}
    assert!(!reload_twice(), "after an upgrade");
}

#[test]
fn a_refused_reload_ends_it_too() {
    let (manager, supervisor) = manager();
    supervisor.ready();
    told(&manager);
    reload(&supervisor, Some("cellway.toml: bad\nmore"));
    told(&manager);
    let told = told(&manager);
    assert!(told.starts_with("READY=1\nSTATUS=reload refused"), "{told}");
    assert_eq!(told.lines().count(), 2, "one status line: {told}");
}

/// Catches: a watchdog that looks only at the thread that answers it.
#[tokio::test(start_paused = true)]
async fn the_watchdog_wants_a_sign_of_every_worker() {
    let (manager, supervisor) = manager();
    let every = Duration::from_secs(30);
    let watchdog = Watchdog {
        every,
        beats: (0..2).map(|_| AtomicU64::new(0)).collect(),
    };
    tokio::task::LocalSet::new()
        .run_until(async {
            tokio::task::spawn_local(watchdog.clone().watch(supervisor));
            tokio::task::spawn_local(watchdog.clone().beat(0));
            sleep(every * 2).await;
            assert!(!has_told(&manager), "the second worker hangs");
            tokio::task::spawn_local(watchdog.beat(1));
            sleep(every).await;
            assert!(has_told(&manager));
        })
        .await;
}
