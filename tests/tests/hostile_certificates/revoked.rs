//! Certificates that were taken back, or may have been.

use crate::make::{Cert, Shown};
use crate::pki::{ACME, Pki};
use crate::{Row, Setup};

pub(crate) fn rows(pki: &Pki) -> Vec<Row> {
    let leaf = || Cert::svid(ACME);
    let revoked = || leaf().serial(Pki::REVOKED);
    let issue = |authority: &crate::make::Authority, cert| authority.issue(cert, &pki.key);
    let below = pki.listed_below(&[1]);
    let below_revoked = pki.listed_below(Pki::REVOKED);
    // As another authority's certificate below the unlisted one.
    let unlisted = pki
        .unlisted
        .below(Cert::authority("below"), below.key.clone());
    let rows: [(&str, Shown); 10] = [
        ("revoked", issue(&pki.listed, revoked())),
        ("revoked by an authority below", issue(&below, revoked())),
        ("its authority is revoked", issue(&below_revoked, leaf())),
        ("the list is past its time", issue(&pki.stale, leaf())),
        ("there is no list", issue(&pki.unlisted, leaf())),
        (
            "a list for the authority below only",
            issue(&unlisted, leaf()),
        ),
        ("on the second of two lists", issue(&pki.twice, revoked())),
        (
            "on the old authority's list",
            issue(&pki.changing, revoked()),
        ),
        (
            "on the new authority's list",
            issue(&pki.changed, leaf().serial(Pki::REVOKED_SINCE)),
        ),
        ("the list is forged", issue(&pki.forged, leaf())),
    ];
    rows.map(|(what, shown)| Row::new("revoked", what, shown).at(Setup::Lists))
        .into()
}
