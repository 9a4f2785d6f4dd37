use super::*;

#[test]
fn a_control_character_is_found_at_each_place() {
    for len in 0..200 {
        let mut bytes = vec![b'a'; len];
        assert!(!has_control(&bytes), "{len}");
        for at in 0..len {
            for (byte, control) in [
                (b'\t', false),
                (b'\n', true),
                (0x1f, true),
                (0x7f, true),
                (0xff, false),
            ] {
                bytes[at] = byte;
                assert_eq!(has_control(&bytes), control, "{byte:#x} at {at} of {len}");
            }
            bytes[at] = b' ';
        }
    }
}
