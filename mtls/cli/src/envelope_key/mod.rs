//! `cellway envelope-key`

mod folder;

use std::time::Duration;

use aws_lc_rs::rand;
use cellway_core::Unix;
use cellway_core::envelope::{HmacKey, KeyRing, RingTiming, SigningKey};
use cellway_env::Env;
use cellway_env::tokio::TokioEnv;
use cellway_router::envelope::{IndexKey, rfc3339, secret_text, signing_pem};
use cellway_router::settings::{EnvelopeForm, EnvelopeSettings};

use self::folder::Folder;
use super::input::ConfigFile;
use super::{Exit, block_on, failed, misused, print, say};

/// How much longer a new key waits than services may cache the published set, in seconds. In this
/// time all replicas read the folder, and it allows for clocks that differ.
const MARGIN_SECS: u64 = 60;

/// How long a new shared key waits by default, in seconds, because somebody must copy it to its
/// cell.
const SHARED_WAIT_SECS: u64 = 3600;

/// The length of a shared key in bytes: the output length of HMAC-SHA256 (RFC 2104, section 3).
const SECRET_LEN: usize = 32;

/// The arguments of `cellway envelope-key`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Works on the folder that `envelope.keys` of the configuration names. Run it as the user that the
router runs as, then bring the folder to all replicas; routers see it within runtime.watch_secs and
need no restart.

Examples:
  cellway envelope-key new -c cellway.toml               published now, signs once services know it
  cellway envelope-key list -c cellway.toml
  cellway envelope-key prune -c cellway.toml             later: removes keys that are no longer needed
  cellway envelope-key replace -c cellway.toml           a key is compromised: revoke the old keys at once
  cellway envelope-key new -c cellway.toml --cell eu-1   shared forms: one key for each cell

Exit codes: 0 done, 1 the configuration has mistakes, 2 usage, 3 it could not be done (nothing was
changed, unless it says that it is done)")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    /// Make a key that replaces the present one once every service can know it
    New(Making),
    /// Show the keys and the state of each
    List(Reading),
    /// Remove keys that are no longer needed
    Prune(Reading),
    /// Replace all keys at once, because one is compromised
    Replace(Replacing),
}

#[derive(clap::Args, Debug)]
struct Reading {
    #[command(flatten)]
    config: ConfigFile,
}

#[derive(clap::Args, Debug)]
struct Replacing {
    #[command(flatten)]
    config: ConfigFile,
    /// The new key's ID (generated if absent)
    #[arg(long)]
    kid: Option<String>,
    /// The cell that the key is shared with, in the forms hmac and compatible
    #[arg(long)]
    cell: Option<String>,
}

#[derive(clap::Args, Debug)]
struct Making {
    #[command(flatten)]
    key: Replacing,
    /// The least time before it signs. With 0 it signs as soon as possible: at once in the forms hmac and
    /// compatible, and in the form jws once no service keeps a set of public keys without it
    #[arg(long, value_name = "SECONDS")]
    wait_secs: Option<u64>,
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Exit {
    let done = match block_on(carry_out(&args.command)) {
        Ok(done) => done,
        Err(error) => return failed(error),
    };
    match done {
        Ok(said) => match args.command {
            Command::List(_) => say(&said, Exit::Ok),
            Command::New(_) | Command::Prune(_) | Command::Replace(_) => said_of_done(&said),
        },
        Err(exit) => exit,
    }
}

/// Prints what was done. If standard output can't be written, prints it to standard error, so that
/// nobody does it twice.
fn said_of_done(said: &str) -> Exit {
    match print(said) {
        Ok(()) => Exit::Ok,
        Err(error) => failed(format!(
            "can't write to standard output: {error}; but it is done:\n{said}"
        )),
    }
}

async fn carry_out(command: &Command) -> Result<String, Exit> {
    let env = TokioEnv::new();
    let now = env.unix_now();
    match command {
        Command::New(args) => {
            let settings = settings(&env, &args.key.config).await?;
            let folder = Folder::open(&env, &settings, true).await?;
            new(&folder, args, now).await
        }
        Command::Replace(args) => {
            let settings = settings(&env, &args.config).await?;
            let folder = Folder::open(&env, &settings, true).await?;
            replace(&folder, args, now).await
        }
        Command::List(args) => {
            let settings = settings(&env, &args.config).await?;
            let folder = Folder::open(&env, &settings, false).await?;
            Ok(list(&folder, &args.config.path, now))
        }
        Command::Prune(args) => {
            let settings = settings(&env, &args.config).await?;
            let folder = Folder::open(&env, &settings, false).await?;
            prune(&folder, now).await
        }
    }
}

async fn settings(env: &TokioEnv, file: &ConfigFile) -> Result<EnvelopeSettings, Exit> {
    let config = file.load(env).await?;
    config.router.envelope.ok_or_else(|| {
        let advice = "add [envelope] with keys = \"envelope-keys\" or another folder";
        misused(format!("{} has no envelope keys; {advice}", file.path))
    })
}

async fn new(folder: &Folder<'_>, args: &Making, now: Unix) -> Result<String, Exit> {
    let cell = cell_of(folder.settings, &args.key)?;
    // Another key doesn't repair a folder that routers refuse.
    folder.check().await?;
    let mut index = folder.index.clone();
    if let Some(next) = index.waiting(cell, now).first() {
        let (kid, from) = (&next.kid, rfc3339(Unix::from_secs(next.sign_from)));
        return Err(failed(format!(
            "key `{kid}` already waits until {from}; make the next one after that"
        )));
    }
    if folder.settings.form == EnvelopeForm::Jws && index.keys.len() >= KeyRing::KEYS_MAX {
        let most = KeyRing::KEYS_MAX;
        let advice = format!("cellway envelope-key prune -c {}", args.key.config.path);
        return Err(failed(format!(
            "there are already {most} keys\n    {advice}"
        )));
    }
    let wait = match (folder.settings.form, index.of(cell).is_empty()) {
        (_, true) => args.wait_secs.unwrap_or(0),
        (EnvelopeForm::Jws, false) => {
            let least = folder.settings.jwks_max_age.as_secs() + MARGIN_SECS;
            args.wait_secs.unwrap_or(0).max(least)
        }
        (EnvelopeForm::Hmac | EnvelopeForm::Compatible, false) => {
            args.wait_secs.unwrap_or(SHARED_WAIT_SECS)
        }
    };
    let from = now.after(Duration::from_secs(wait)).as_secs();
    let from = index.free_from(cell, from);
    let (key, text) = make(folder, &args.key, now, from)?;
    let kid = key.kid.clone();
    index.keys.push(key);
    let file = folder.add(&kid, text, &index).await?;
    let from = rfc3339(Unix::from_secs(from));
    Ok(match cell {
        None => format!("{file}: published now, signs from {from} on"),
        Some(cell) => {
            format!("{file}: copy it to cell `{cell}`; the router uses it from {from} on")
        }
    })
}

async fn replace(folder: &Folder<'_>, args: &Replacing, now: Unix) -> Result<String, Exit> {
    let cell = cell_of(folder.settings, args)?;
    let mut index = folder.index.clone();
    let lost = |key: &IndexKey| key.cell.as_deref() == cell;
    let (gone, kept): (Vec<_>, _) = index.keys.iter().cloned().partition(lost);
    index.keys = kept;
    let (key, text) = make(folder, args, now, now.as_secs())?;
    let kid = key.kid.clone();
    index.keys.push(key);
    let file = folder.add(&kid, text, &index).await?;
    folder.remove(&gone)?;
    let names = names(&gone);
    Ok(match cell {
        None => format!(
            "{file}: signs as soon as routers see it; removed: {names}\n\
             Services may accept envelopes of the old keys until they fetch the keys again, within \
             {} s. Restart services that must not.",
            folder.settings.jwks_max_age.as_secs()
        ),
        Some(cell) => format!(
            "{file}: copy it to cell `{cell}`; its requests fail until it has the key; removed: {names}"
        ),
    })
}

async fn prune(folder: &Folder<'_>, now: Unix) -> Result<String, Exit> {
    let mut index = folder.index.clone();
    let gone = index.prune(now, overlap(folder.settings));
    if gone.is_empty() {
        let until = |key| index.needed_until(key, overlap(folder.settings));
        let next = index.keys.iter().filter_map(until).min();
        return Ok(match next {
            Some(next) => format!(
                "every key is still needed; the first can be removed from {} on",
                when(next, now)
            ),
            None => "every key is still needed".to_owned(),
        });
    }
    folder.write(&index).await?;
    folder.remove(&gone)?;
    Ok(format!("removed: {}", names(&gone)))
}

fn list(folder: &Folder<'_>, config: &str, now: Unix) -> String {
    let mut rest = folder.index.clone();
    let unneeded = rest.prune(now, overlap(folder.settings));
    let mut lines = Vec::new();
    for key in &folder.index.keys {
        let cell = key.cell.as_deref();
        let waits = folder.index.waiting(cell, now).contains(&key);
        let state = if waits {
            "waits".to_owned()
        } else if folder.index.in_use(cell, now) == Some(key) {
            "in use".to_owned()
        } else if unneeded.contains(key) {
            "can be pruned".to_owned()
        } else {
            let until = folder.index.needed_until(key, overlap(folder.settings));
            until.map_or("still needed".to_owned(), |until| {
                format!("still needed, until {}", when(until, now))
            })
        };
        let of = cell
            .map(|cell| format!(" of cell `{cell}`"))
            .unwrap_or_default();
        let date = |secs| rfc3339(Unix::from_secs(secs));
        lines.push(format!(
            "{}{of}: {state} (added {}, from {})",
            key.kid,
            date(key.added),
            date(key.sign_from)
        ));
    }
    lines.extend(
        folder
            .strays()
            .map(|file| format!("{file}: not used; keys.toml doesn't name it")),
    );
    match lines.is_empty() {
        true => format!("there is no key\n    cellway envelope-key new -c {config}"),
        false => lines.join("\n"),
    }
}

/// A time in the future, and how far away it is.
fn when(time: Unix, now: Unix) -> String {
    let secs = time.as_secs().saturating_sub(now.as_secs());
    format!("{} (in {secs} s)", rfc3339(time))
}

/// How long the previous keys are still needed after a key has started to sign.
fn overlap(settings: &EnvelopeSettings) -> Duration {
    let max_age = match settings.form {
        EnvelopeForm::Jws => settings.jwks_max_age,
        EnvelopeForm::Hmac | EnvelopeForm::Compatible => Duration::ZERO,
    };
    RingTiming {
        max_age,
        lifetime: settings.lifetime,
    }
    .overlap()
}

fn cell_of<'a>(settings: &EnvelopeSettings, args: &'a Replacing) -> Result<Option<&'a str>, Exit> {
    match (settings.form.is_shared(), &args.cell) {
        (false, None) => Ok(None),
        (true, Some(cell)) => Ok(Some(cell)),
        (false, Some(_)) => Err(misused(
            "--cell is for the forms hmac and compatible, and envelope.form is `jws`",
        )),
        (true, None) => {
            let form = settings.form.as_str();
            Err(misused(format!(
                "envelope.form is `{form}`: name the cell that has the key with --cell"
            )))
        }
    }
}

/// A new key: its entry in the index, and the content of its file.
fn make(
    folder: &Folder<'_>,
    args: &Replacing,
    now: Unix,
    sign_from: u64,
) -> Result<(IndexKey, String), Exit> {
    let kid = match &args.kid {
        Some(kid) => kid.clone(),
        None => {
            let random: [u8; 4] = random()?;
            let date = rfc3339(now);
            let day = date.split('T').next().unwrap_or_default();
            format!("{day}-{:08x}", u32::from_be_bytes(random))
        }
    };
    let secret: [u8; SECRET_LEN] = random()?;
    let text = match &args.cell {
        None => SigningKey::from_seed(&kid, &secret).and_then(|key| signing_pem(&key)),
        Some(cell) => HmacKey::new(&kid, cell, &secret).map(|_| secret_text(&secret)),
    };
    let text = text.map_err(|refused| misused(format!("key `{kid}` {refused}")))?;
    if folder.has(&kid) {
        let advice = "give the new key an id of its own with --kid";
        return Err(failed(format!("there is already a key `{kid}`; {advice}")));
    }
    let key = IndexKey {
        kid,
        cell: args.cell.clone(),
        added: now.as_secs(),
        sign_from,
    };
    Ok((key, text))
}

fn random<const N: usize>() -> Result<[u8; N], Exit> {
    let mut bytes = [0; N];
    let filled = rand::fill(&mut bytes);
    filled.map_err(|_| failed("the system provides no random bytes"))?;
    Ok(bytes)
}

fn names(keys: &[IndexKey]) -> String {
    let names: Vec<_> = keys.iter().map(|key| &*key.kid).collect();
    match names.as_slice() {
        [] => "none".to_owned(),
        names => names.join(", "),
    }
}
