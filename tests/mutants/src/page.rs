//! The score, as text and as a page.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::Command;

use crate::catalogue::Mutant;
use crate::trial::Score;

/// A mutant and what came of it, in a line.
pub fn line(mutant: &Mutant, score: &Score) -> String {
    match score.is_noticed() {
        true => format!(
            "{} is noticed by {} in {}",
            mutant.name,
            by(score).join(", "),
            score.noticed_in.join(", ")
        ),
        false => format!(
            "{} is NOT noticed in {} runs: {}",
            mutant.name, score.runs, mutant.about
        ),
    }
}

/// The invariants that noticed it, and in how many runs if in several.
fn by(score: &Score) -> Vec<String> {
    let by = score.by.iter().map(|(name, runs)| match runs {
        1 => name.clone(),
        runs => format!("{name} ({runs})"),
    });
    by.collect()
}

/// The sum, in the terminal.
pub fn text(results: &[(&Mutant, &Score)]) -> String {
    let noticed = results
        .iter()
        .filter(|(_, score)| score.is_noticed())
        .count();
    let mut text = format!(
        "\n{noticed} of {} mutants are noticed ({})\n",
        results.len(),
        percent(noticed, results.len())
    );
    for (mutant, score) in results.iter().filter(|(_, score)| !score.is_noticed()) {
        let _ = writeln!(text, "  {}", line(mutant, score));
    }
    text
}

/// The page `docs/mutants.md`.
pub fn markdown(results: &[(&Mutant, &Score)], drawn: u64) -> String {
    let noticed = results
        .iter()
        .filter(|(_, score)| score.is_noticed())
        .count();
    let mut page = format!(
        "# Mutants: does the simulator see what is wrong?\n\n\
         A simulator that finds nothing may be blind. So {} small wrong changes of the router are kept in\n\
         [tests/mutants/catalogue](../tests/mutants/catalogue): a missing check, a wrong comparison, a place that is\n\
         never given back. Each is put into a copy of the router, and all scenarios and {drawn} drawn ones run until\n\
         one notices it. No unit test takes part.\n\n\
         ```sh\n\
         just mutants                          # all of them; takes some hours\n\
         just mutants --room envelope          # those of one room\n\
         just mutants --enough 1000 NAME       # which runs notice this one\n\
         ```\n\n\
         **{noticed} of {} are noticed ({})**, on {}, by `just mutants --page docs/mutants.md`.\n\n\
         | room | mutants | noticed |\n| --- | ---: | ---: |\n",
        results.len(),
        results.len(),
        percent(noticed, results.len()),
        today(),
    );
    let mut rooms: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for (mutant, score) in results {
        let room = rooms.entry(&mutant.room).or_default();
        room[0] += 1;
        room[1] += usize::from(score.is_noticed());
    }
    for (room, [all, noticed]) in rooms {
        let _ = writeln!(page, "| `{room}` | {all} | {noticed} |");
    }
    page.push_str("\n## Not noticed\n\n| mutant | what goes wrong |\n| --- | --- |\n");
    for (mutant, _) in results.iter().filter(|(_, score)| !score.is_noticed()) {
        let _ = writeln!(page, "| `{}` | {} |", mutant.name, mutant.about);
    }
    page.push_str(
        "\n## Noticed\n\nWhat noticed it first is an invariant ([invariants.md](invariants.md)) or an \
         expectation of the scenario.\n\n| mutant | what goes wrong | noticed by | in |\n| --- | --- | --- | --- |\n",
    );
    for (mutant, score) in results.iter().filter(|(_, score)| score.is_noticed()) {
        let (by, scenarios) = (by(score).join(", "), score.noticed_in.join(", "));
        let Mutant { name, about, .. } = mutant;
        let _ = writeln!(page, "| `{name}` | {about} | {by} | {scenarios} |");
    }
    page
}

fn percent(part: usize, all: usize) -> String {
    let tenths = part * 1000 / all.max(1);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// The date, as the system's `date` prints it.
fn today() -> String {
    let printed = Command::new("date").arg("+%F").output();
    let printed = printed.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    printed.unwrap_or_else(|_| "an unknown date".to_owned())
}
