use std::collections::BTreeSet;
use std::path::Path;

use super::catalogue;

#[test]
fn the_catalogue_fits_the_code() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mutants = catalogue::read(&workspace).unwrap_or_else(|error| panic!("{error}"));
    assert!(mutants.len() >= 200, "{}", mutants.len());
    let rooms: BTreeSet<_> = mutants.iter().map(|mutant| &mutant.room).collect();
    assert!(rooms.len() >= 15, "{rooms:?}");
    for mutant in &mutants {
        assert!(
            mutant.about.ends_with('.'),
            "{}: {}",
            mutant.name,
            mutant.about
        );
        assert_ne!(mutant.find, mutant.replace, "{}", mutant.name);
    }
}
