//! The tables of faults in `docs/scenarios.md`.

use std::fmt::Write;

use super::table::{Change, FaultKind, Row};

/// The tables of all faults and of all documents of `publish`, in Markdown: a part of
/// `docs/scenarios.md`.
pub fn markdown() -> String {
    let mut text = String::from("| kind | fields | what happens |\n| --- | --- | --- |\n");
    rows(&mut text, FaultKind::ROWS);
    text += "\nThe `document` of `publish`, with its fields. Unless it must be refused it is the next version.\n\n\
             | document | fields | what it says |\n| --- | --- | --- |\n";
    rows(&mut text, Change::ROWS);
    text
}

fn rows(text: &mut String, rows: &[Row]) {
    for row in rows {
        let own = row.fields.iter().map(|field| match *field {
            "between" => "`between = [a, b]`".to_owned(),
            "skew" => "`ahead` or `behind`".to_owned(),
            "document" => "`document` and its fields".to_owned(),
            field => format!("`{field}`"),
        });
        let lasts = row.lasts.then(|| "`for`".to_owned());
        let fields: Vec<_> = own.chain(lasts).collect();
        let (word, fields) = (row.word, fields.join(", "));
        // Writing to a string can't fail.
        let _ = writeln!(text, "| `{word}` | {fields} | {} |", row.docs);
    }
}
