use super::*;

/// The table of `docs/envelope.md`.
#[test]
fn a_trust_mode_decides_about_missing_and_bad_envelopes() {
    let case = Case::default();
    let verified = case
        .check(&Verifier::new(spec()).unwrap(), &case.jws(), 0)
        .unwrap();
    let Verdict::Verified(verified) = verified else {
        panic!("{verified:?}");
    };
    for mode in TrustMode::ALL {
        let good = mode.apply(Ok(*verified.clone()));
        assert_eq!(good, Ok(Verdict::Verified(verified.clone())));
        for (refused, served) in [
            (EnvelopeRefused::Missing, mode != TrustMode::GatewayEnforced),
            (EnvelopeRefused::Expired, mode == TrustMode::ServiceEnforced),
            (EnvelopeRefused::NoKeys, mode == TrustMode::ServiceEnforced),
            (EnvelopeRefused::Several, mode == TrustMode::ServiceEnforced),
        ] {
            let verdict = mode.apply(Err(refused));
            let expected = match served {
                true => Ok(Verdict::Local(refused)),
                false => Err(refused),
            };
            assert_eq!(verdict, expected, "{} {refused}", mode.as_str());
        }
    }
}
