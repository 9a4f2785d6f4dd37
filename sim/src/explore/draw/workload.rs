//! Draws the clients: good ones of every kind, and some that must be refused.

use toml::{Table, Value};

use super::dice::{Dice, millis, set, table};
use super::world::{Tenant, World};

/// The clients of a drawn scenario.
pub(super) struct Workload {
    pub(super) clients: Vec<Table>,
    /// The names of those that nobody may serve.
    pub(super) refused: Vec<String>,
}

/// Credentials and flaws of tokens with which a client must be refused.
const BAD: [&str; 4] = ["expired", "wrong_audience", "forged", "unknown_key"];
const FLAWS: [&str; 6] = [
    "unsigned",
    "wrong_issuer",
    "early",
    "no_tenant",
    "no_expiry",
    "no_audience",
];

impl Workload {
    pub(super) fn draw(seed: u64, world: &World) -> Self {
        let dice = &mut Dice::new(seed, "workload");
        let mut this = Self {
            clients: Vec::new(),
            refused: Vec::new(),
        };
        for tenant in &world.tenants {
            this.clients.push(good(dice, world, tenant, "web"));
            if dice.chance(25) {
                let client = special(dice, tenant);
                if client.contains_key("unfinished") {
                    // Nobody can answer what doesn't end.
                    this.refused.extend(name(&client));
                }
                this.clients.push(client);
            }
        }
        if dice.chance(40) {
            let tenant = dice.pick(&world.tenants);
            let client = bad(dice, tenant);
            this.refused.extend(name(&client));
            this.clients.push(client);
        }
        this
    }
}

fn name(client: &Table) -> Option<String> {
    let name = client.get("name").and_then(Value::as_str);
    name.map(str::to_owned)
}

/// What all clients have.
fn client(dice: &mut Dice, tenant: &Tenant, kind: &str) -> Table {
    let mut client = table([
        ("name", format!("{}-{kind}", tenant.id).into()),
        ("tenant", tenant.id.as_str().into()),
        ("rate", format!("{}/s", dice.between(1, 6)).into()),
        ("issuer", tenant.issuer.as_str().into()),
    ]);
    if dice.chance(50) {
        set(&mut client, "protocol", "http2");
    }
    client
}

fn good(dice: &mut Dice, world: &World, tenant: &Tenant, kind: &str) -> Table {
    let mut client = client(dice, tenant, kind);
    let credential = *dice.pick(&["token", "token", "certificate", "both"]);
    set(&mut client, "credential", credential);
    if credential != "certificate" && dice.chance(30) {
        let lifetime = dice.between(8, 20) * 1000;
        set(&mut client, "token_lifetime", millis(lifetime));
    }
    if credential != "token" && dice.chance(30) {
        let lifetime = dice.between(12, 25) * 1000;
        set(&mut client, "certificate_lifetime", millis(lifetime));
    }
    if dice.chance(20) {
        set(&mut client, "router", dice.pick(&world.routers).as_str());
    }
    if dice.chance(20) {
        set(&mut client, "timeout", millis(dice.between(2, 8) * 1000));
    }
    if dice.chance(20) {
        set(&mut client, "count", dice.between(2, 4) as i64);
    }
    client
}

/// One that does something special with its requests.
fn special(dice: &mut Dice, tenant: &Tenant) -> Table {
    let kinds = ["stream", "socket", "upload", "stops", "breaks", "stalls"];
    let kind = *dice.pick(&kinds);
    let mut client = client(dice, tenant, kind);
    match kind {
        "stream" => set(&mut client, "stream", millis(dice.between(2, 8) * 1000)),
        "socket" => {
            set(&mut client, "stream", millis(dice.between(3, 9) * 1000));
            set(&mut client, "websocket", true);
        }
        "upload" => {
            set(&mut client, "upload", dice.between(1_000, 400_000) as i64);
            set(&mut client, "path", "/upload");
        }
        "stops" => set(&mut client, "stops_reading", true),
        "breaks" => set(&mut client, "breaks_off", true),
        _ => set(&mut client, "unfinished", true),
    }
    set(&mut client, "rate", "1/s");
    if matches!(kind, "stops" | "stalls") {
        // Each keeps its place at the cell for as long as a router waits for such clients.
        set(&mut client, "rate", "6/min");
    }
    if matches!(kind, "stream" | "socket") {
        set(&mut client, "timeout", "20s");
        set(&mut client, "rate", "12/min");
    }
    client
}

fn bad(dice: &mut Dice, tenant: &Tenant) -> Table {
    let mut client = client(dice, tenant, "bad");
    match dice.chance(50) {
        true => set(&mut client, "credential", *dice.pick(&BAD)),
        false => set(&mut client, "flaw", *dice.pick(&FLAWS)),
    }
    client
}
