use bytes::Bytes;

use super::*;

struct Asked {
    head: bool,
    version: Version,
    status: u16,
    fields: &'static [(&'static str, &'static str)],
}

const PLAIN: Asked = Asked {
    head: false,
    version: Version::HTTP_11,
    status: 200,
    fields: &[],
};

fn read(asked: &Asked) -> Result<(Framing, Option<String>), &'static str> {
    let mut builder = Response::builder().status(asked.status);
    for (name, value) in asked.fields {
        builder = builder.header(*name, *value);
    }
    let mut response = builder.version(asked.version).body(()).unwrap();
    let exchange = Exchange {
        head: asked.head,
        http2: asked.version == Version::HTTP_2,
        limits: AnswerLimits::default(),
    };
    let framing = Framing::of(&mut response, exchange)?;
    let length = response.headers().get(CONTENT_LENGTH);
    let length = length.map(|length| length.to_str().unwrap().to_owned());
    Ok((framing, length))
}

fn fields(fields: &'static [(&'static str, &'static str)]) -> Asked {
    Asked { fields, ..PLAIN }
}

#[test]
fn a_length_is_one_number_or_the_answer_is_refused() {
    for bad in [
        &[("content-length", "abc")] as &[_],
        &[("content-length", "")],
        &[("content-length", "-2")],
        &[("content-length", "+2")],
        &[("content-length", "2, 2")],
        &[("content-length", "18446744073709551616")],
        &[("content-length", "2"), ("content-length", "2")],
        &[("content-length", "2"), ("content-length", "3")],
        &[("transfer-encoding", "gzip, chunked")],
        &[("transfer-encoding", "chunked, identity")],
        &[
            ("transfer-encoding", "identity"),
            ("transfer-encoding", "chunked"),
        ],
        &[("transfer-encoding", "")],
        &[("transfer-encoding", "chunked"), ("content-length", "x")],
    ] {
        assert!(read(&fields(bad)).is_err(), "{bad:?}");
        for head in [true, false] {
            let answer = Asked {
                head,
                ..fields(bad)
            };
            assert!(read(&answer).is_err(), "{head} {bad:?}");
            let not_modified = Asked {
                status: 304,
                head,
                ..fields(bad)
            };
            assert!(read(&not_modified).is_err(), "{head} {bad:?}");
        }
    }
    for version in [Version::HTTP_10, Version::HTTP_2] {
        for fields in [
            &[("transfer-encoding", "chunked")],
            &[("transfer-encoding", "identity")],
        ] {
            assert!(
                read(&Asked {
                    version,
                    fields,
                    ..PLAIN
                })
                .is_err()
            );
        }
    }
}

#[test]
fn a_length_that_does_not_count_is_not_passed_on() {
    let both = fields(&[("transfer-encoding", "chunked"), ("content-length", "2")]);
    let (framing, length) = read(&both).unwrap();
    assert_eq!(
        (framing.left, framing.reusable, length),
        (None, false, None)
    );
    let empty = Asked {
        status: 204,
        ..fields(&[("content-length", "2")])
    };
    let (framing, length) = read(&empty).unwrap();
    assert_eq!(
        (framing.left, framing.reusable, length),
        (Some(0), true, None)
    );
    for answer in [
        Asked {
            head: true,
            ..fields(&[("content-length", "2")])
        },
        Asked {
            status: 304,
            ..fields(&[("content-length", "2")])
        },
    ] {
        let (framing, length) = read(&answer).unwrap();
        assert_eq!((framing.left, length.as_deref()), (Some(0), Some("2")));
    }
    let identity = fields(&[("transfer-encoding", "Identity"), ("content-length", "2")]);
    let (framing, length) = read(&identity).unwrap();
    assert_eq!((framing.by_length, length.as_deref()), (true, Some("2")));
    assert!(!framing.reusable && !framing.ended());
}

#[test]
fn a_body_is_as_long_as_was_said() {
    let data = |text: &'static str| Frame::data(Bytes::from_static(text.as_bytes()));
    let source = http_body_util::Empty::<Bytes>::new();
    let (mut framing, _) = read(&fields(&[("content-length", "3")])).unwrap();
    assert!(framing.over(&source).is_err());
    assert_eq!(framing.came(&data("ab")), Ok(()));
    assert!(framing.over(&source).is_err());
    assert!(
        framing
            .came(&Frame::<Bytes>::trailers(HeaderMap::new()))
            .is_err()
    );
    assert!(framing.came(&data("cd")).is_err());
    let (mut framing, _) = read(&fields(&[("content-length", "3")])).unwrap();
    assert_eq!(framing.came(&data("abc")), Ok(()));
    assert_eq!(framing.over(&source), Ok(()));
    let (mut framing, _) = read(&Asked {
        head: true,
        ..PLAIN
    })
    .unwrap();
    assert!(
        framing.came(&data("a")).is_err(),
        "an answer to HEAD has no body"
    );
}
