//! Writes the inputs to begin with: `cellway-fuzz-seeds DIR` makes `DIR/TARGET/seed-N`, and prints
//! the targets' names.

use std::path::PathBuf;

use cellway_fuzz::TARGETS;

fn main() -> std::io::Result<()> {
    let to: PathBuf = std::env::args_os()
        .nth(1)
        .expect("a folder to write to")
        .into();
    for target in TARGETS {
        let folder = to.join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (i, seed) in (target.seeds)().into_iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{i}")), seed)?;
        }
        println!("{}", target.name);
    }
    Ok(())
}
