//! Draws who is there: identity providers, cells, placements and tenants.

use toml::{Table, Value};

use super::dice::{Dice, millis, set, table, tables};

/// The names in a drawn world.
pub(super) struct World {
    pub(super) routers: Vec<String>,
    pub(super) issuers: Vec<String>,
    pub(super) cells: Vec<Cell>,
    pub(super) tenants: Vec<Tenant>,
    placements: Vec<Table>,
    latency: Option<[u64; 2]>,
    cuts_segments: bool,
    more_tenants: i64,
}

pub(super) struct Cell {
    pub(super) id: String,
    pub(super) tier: &'static str,
    pub(super) protocol: &'static str,
    pub(super) endpoints: u64,
}

pub(super) struct Tenant {
    pub(super) id: String,
    /// The cell or the placement that it is assigned to.
    pub(super) home: (&'static str, String),
    /// The issuer that speaks for it.
    pub(super) issuer: String,
}

impl Cell {
    /// Its hosts.
    pub(super) fn hosts(&self) -> Vec<String> {
        (1..=self.endpoints)
            .map(|n| format!("{}-{n}", self.id))
            .collect()
    }

    /// Whether it speaks HTTP/2.
    pub(super) fn speaks_http2(&self) -> bool {
        self.protocol != "http"
    }
}

const TIERS: [&str; 2] = ["standard", "premium"];
const CELLS: [&str; 5] = ["iron", "gold", "silver", "copper", "zinc"];
const TENANTS: [&str; 8] = [
    "acme", "globex", "initech", "hooli", "umbrella", "stark", "wayne", "tyrell",
];

impl World {
    pub(super) fn draw(seed: u64) -> Self {
        let dice = &mut Dice::new(seed, "world");
        let routers = (1..=dice.between(1, 3)).map(|n| format!("router-{n}"));
        let issuers = ["main", "partner"];
        let issuers = &issuers[..1 + usize::from(dice.chance(30))];
        let cells: Vec<Cell> = (0..2 + dice.below(4)).map(|n| cell(dice, n)).collect();
        let placements = placements(dice, &cells);
        let tenants = (0..3 + dice.below(6)).map(|n| {
            let home = home(dice, &cells, &placements);
            Tenant {
                id: TENANTS[n].to_owned(),
                home,
                issuer: issuers[n % issuers.len()].to_owned(),
            }
        });
        let tenants = tenants.collect();
        Self {
            routers: routers.collect(),
            issuers: issuers.iter().map(|name| (*name).to_owned()).collect(),
            cells,
            tenants,
            placements,
            latency: dice.chance(30).then(|| {
                let shortest = dice.between(1, 30);
                [shortest, shortest + dice.between(0, 60)]
            }),
            cuts_segments: dice.chance(40),
            more_tenants: match dice.chance(5) {
                true => 10_000,
                false => 0,
            },
        }
    }

    /// The names in the world of a scenario.
    pub(super) fn of(scenario: &Table) -> Self {
        let world = scenario.get("world").and_then(Value::as_table);
        let listed = |name: &str| {
            let list = world.and_then(|world| world.get(name)?.as_array());
            list.into_iter().flatten().filter_map(Value::as_table)
        };
        let text = |table: &Table, name: &str| {
            let text = table.get(name).and_then(Value::as_str);
            text.unwrap_or_default().to_owned()
        };
        let number = |table: Option<&Table>, name: &str| {
            let number = table.and_then(|table| table.get(name)?.as_integer());
            number
                .and_then(|number| u64::try_from(number).ok())
                .unwrap_or(1)
        };
        let issuers: Vec<_> = listed("issuer")
            .map(|issuer| text(issuer, "name"))
            .collect();
        let first = issuers.first().cloned().unwrap_or_default();
        Self {
            routers: (1..=number(world, "routers"))
                .map(|n| format!("router-{n}"))
                .collect(),
            cells: listed("cell")
                .map(|cell| Cell {
                    id: text(cell, "id"),
                    tier: TIERS[0],
                    protocol: match text(cell, "protocol").as_str() {
                        "http" => "http",
                        _ => "https",
                    },
                    endpoints: number(Some(cell), "endpoints"),
                })
                .collect(),
            tenants: listed("tenant")
                .map(|tenant| Tenant {
                    id: text(tenant, "id"),
                    home: ("cell", String::new()),
                    issuer: first.clone(),
                })
                .collect(),
            issuers,
            placements: Vec::new(),
            latency: None,
            cuts_segments: false,
            more_tenants: 0,
        }
    }

    /// The table `[world]`.
    pub(super) fn table(&self) -> Table {
        let mut world = table([
            ("routers", Value::from(self.routers.len() as i64)),
            (
                "issuer",
                tables(self.issuers.iter().map(|name| self.issuer(name)).collect()),
            ),
            ("cell", tables(self.cells.iter().map(cell_table).collect())),
            (
                "tenant",
                tables(self.tenants.iter().map(tenant_table).collect()),
            ),
        ]);
        if !self.placements.is_empty() {
            set(&mut world, "placement", tables(self.placements.clone()));
        }
        if self.more_tenants > 0 {
            set(&mut world, "more_tenants", self.more_tenants);
        }
        if self.cuts_segments {
            set(&mut world, "cut_segments", true);
        }
        if let Some(latency) = self.latency {
            set(&mut world, "latency", latency.map(millis).to_vec());
        }
        world
    }

    /// An issuer must say for whom it may speak if there are several.
    fn issuer(&self, name: &str) -> Table {
        let mut issuer = table([("name", name.into())]);
        if self.issuers.len() > 1 {
            let theirs = self.tenants.iter().filter(|tenant| tenant.issuer == name);
            let theirs: Vec<Value> = theirs.map(|tenant| tenant.id.as_str().into()).collect();
            set(&mut issuer, "tenants", theirs);
        }
        issuer
    }
}

/// Most cells use TLS.
const PROTOCOLS: [&str; 4] = ["https", "https", "http", "h2c"];

fn cell(dice: &mut Dice, n: usize) -> Cell {
    Cell {
        id: CELLS[n].to_owned(),
        tier: TIERS[usize::from(dice.chance(40))],
        protocol: PROTOCOLS[dice.below(PROTOCOLS.len())],
        endpoints: dice.between(1, 3),
    }
}

fn cell_table(cell: &Cell) -> Table {
    table([
        ("id", cell.id.as_str().into()),
        ("tier", cell.tier.into()),
        ("endpoints", (cell.endpoints as i64).into()),
        ("protocol", cell.protocol.into()),
    ])
}

/// At most one placement of each tier spreads over its cells, and at most one has one cell and a fallback.
fn placements(dice: &mut Dice, cells: &[Cell]) -> Vec<Table> {
    let mut placements = Vec::new();
    for tier in TIERS {
        let theirs: Vec<Value> = (cells.iter())
            .filter(|cell| cell.tier == tier)
            .map(|cell| cell.id.as_str().into())
            .collect();
        if theirs.len() >= 2 && dice.chance(50) {
            let mut spread = table([
                ("id", format!("{tier}-spread").into()),
                ("tier", tier.into()),
                ("cells", theirs.clone().into()),
                ("stateless", true.into()),
            ]);
            if dice.chance(50) {
                set(&mut spread, "failover", true);
            }
            placements.push(spread);
        }
        if theirs.len() >= 2 && dice.chance(40) {
            let named = |name: &str, cell: &Value| {
                table([
                    ("id", format!("{tier}-{name}").into()),
                    ("tier", tier.into()),
                    ("cells", vec![cell.clone()].into()),
                ])
            };
            let mut home = named("home", &theirs[0]);
            set(&mut home, "fallback", format!("{tier}-away"));
            if dice.chance(60) {
                set(&mut home, "failover", true);
            }
            placements.push(home);
            placements.push(named("away", &theirs[1]));
        }
    }
    placements
}

type Home = (&'static str, String);

fn home(dice: &mut Dice, cells: &[Cell], placements: &[Table]) -> Home {
    if !placements.is_empty() && dice.chance(50) {
        let id = dice.pick(placements).get("id").and_then(Value::as_str);
        return ("placement", id.unwrap_or_default().to_owned());
    }
    ("cell", dice.pick(cells).id.clone())
}

fn tenant_table(tenant: &Tenant) -> Table {
    table([
        ("id", tenant.id.as_str().into()),
        (tenant.home.0, tenant.home.1.as_str().into()),
    ])
}
