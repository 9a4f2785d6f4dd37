use super::*;

const A: HolderTag = HolderTag::from_bits(1);
const B: HolderTag = HolderTag::from_bits(2);
const C: HolderTag = HolderTag::from_bits(3);

/// For each holder, whether another one was answered since this second.
fn others(heard: &Heard, second: u64) -> [bool; 3] {
    [A, B, C].map(|holder| heard.another_since(holder, second * SECOND))
}

#[test]
fn nobody_was_answered_at_first() {
    assert_eq!(others(&Heard::default(), 0), [false; 3]);
}

/// Catches: a third holder that takes the place of the newer note, and answers that make a note older.
#[test]
fn the_last_two_holders_are_known() {
    let heard = Heard::default();
    for (holder, second) in [(A, 0), (B, 1), (C, 5), (B, 0)] {
        heard.note(holder, second * SECOND);
    }
    assert_eq!(others(&heard, 1), [true; 3]);
    assert_eq!(others(&heard, 5), [true, true, false]);
    heard.note(B, 7 * SECOND);
    assert_eq!(others(&heard, 5), [true; 3]);
    assert_eq!(others(&heard, 6), [true, false, true]);
}

/// Catches: answers that write each time, so that workers compete for the line.
#[test]
fn answers_of_the_same_second_write_nothing() {
    let heard = Heard::default();
    let words = || heard.notes();
    heard.note(A, 3 * SECOND);
    heard.note(B, 3 * SECOND);
    let before = words();
    for holder in [C, A, B, C] {
        heard.note(holder, 3 * SECOND + 999);
    }
    assert_eq!(words(), before);
}

#[test]
fn each_note_fits_into_a_word() {
    for (when, holder) in [(0, 0), (1, u16::MAX), (u64::MAX >> HOLDER_BITS, 7)] {
        let holder = HolderTag::from_bits(holder);
        let note = Note { when, holder };
        assert_eq!(Note::unpack(note.pack()), note);
    }
}
