use super::*;

#[test]
fn refuses_json_that_parsers_read_differently() {
    let depth = usize::from(DEPTH_MAX);
    let deep = format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let many = |last: &str| {
        let members: Vec<String> = (0..40).map(|i| format!("\"m{i}\":0")).collect();
        format!("{{{},\"{last}\":1}}", members.join(","))
    };
    for (text, good) in [
        (r#"{"a":1}"#, true),
        (r#"{"a":1,"b":{"a":2}}"#, true),
        (r#"{"a":1,"a":1}"#, false),
        (r#"{"a":1,"\u0061":1}"#, false),
        (r#"{"a":{"b":1,"b":2}}"#, false),
        (r#"{"a":[{"b":1,"b":2}]}"#, false),
        (&many("m40"), true),
        (&many("m7"), false),
        (r#"{"a":1} "#, true),
        (r#"{"a":1}{"#, false),
        (r#"{"a":1,}"#, false),
        (r#"{"a":NaN}"#, false),
        (r#"{"a":"\ud800"}"#, false),
        (r#"[1]"#, false),
        ("", false),
        (&format!("{{\"a\":{}}}", &deep[1..deep.len() - 1]), true),
        (&format!("{{\"a\":{deep}}}"), false),
    ] {
        assert_eq!(strict_object(text.as_bytes()).is_some(), good, "{text}");
    }
    assert!(strict_object(b"{\"a\":\"\xff\"}").is_none(), "not UTF-8");
}

#[test]
fn null_is_no_value() {
    let object = strict_object(br#"{"a":null,"b":1}"#).unwrap();
    assert_eq!((object.get("a"), object.has("a")), (None, false));
    assert_eq!((object.get_once("a"), object.len()), (None, 1));
    assert!(object.has("b"));
    assert!(
        strict_object(br#"{"a":null,"a":1}"#).is_none(),
        "it is a name all the same"
    );
}

#[test]
fn only_a_whole_number_has_digits() {
    for (value, digits) in [
        ("0", Some("0")),
        ("42", Some("42")),
        ("18446744073709551615", Some("18446744073709551615")),
        ("18446744073709551616", None),
        ("-1", None),
        ("-0", None),
        ("42.0", None),
        ("4.2e1", None),
        ("true", None),
        ("[42]", None),
        (r#""x""#, Some("x")),
    ] {
        let found = parse(value.as_bytes()).unwrap();
        assert_eq!(found.digits_or_str().as_deref(), digits, "{value}");
    }
}

#[test]
fn keeps_integers_whole() {
    let object = strict_object(br#"{"a":9007199254740993,"b":-1,"c":1.5,"d":1e3}"#).unwrap();
    let number = |name| match object.get(name) {
        Some(Json::Number(number)) => *number,
        other => panic!("{other:?}"),
    };
    assert_eq!(number("a"), Number::Unsigned(9_007_199_254_740_993));
    assert_eq!(number("b"), Number::Other(-1.0));
    assert_eq!(number("c"), Number::Other(1.5));
    assert_eq!(number("d"), Number::Other(1000.0));
}
