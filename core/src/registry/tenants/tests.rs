use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

fn assigned(target: u32) -> Assignment {
    Assignment {
        target,
        terms: 0,
        suspended: false,
    }
}

impl Items for Vec<(String, Assignment)> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn id(&self, at: usize) -> &str {
        &self[at].0
    }

    fn assignment(&self, at: usize) -> Assignment {
        self[at].1
    }
}

fn items(count: u32) -> Vec<(String, Assignment)> {
    let id = |n| format!("tenant-{n}");
    (0..count).map(|n| (id(n), assigned(n))).collect()
}

/// How many shards of `index` are not shared with `other`.
fn unshared(index: &TenantIndex, other: &TenantIndex) -> usize {
    let pairs = std::iter::zip(index.shards(), other.shards());
    pairs.filter(|(a, b)| !a.is(b)).count()
}

#[test]
fn finds_every_tenant_and_no_other() {
    for count in [0, 1, 127, 128, 129, 5_000] {
        let index = TenantIndex::build(&items(count), None).unwrap();
        assert_eq!(index.len(), count as usize);
        for n in 0..count {
            let id = format!("tenant-{n}");
            assert_eq!(index.get(&id), Some((id.as_str(), assigned(n))));
        }
        assert_eq!(index.get(&format!("tenant-{count}")), None);
        assert_eq!(index.get(""), None);
    }
}

#[test]
fn takes_ids_of_every_permitted_length() {
    let long = "x".repeat(256);
    let items = [("a", assigned(1)), (&*long, assigned(2))];
    let index = TenantIndex::build(&items[..], None).unwrap();
    assert_eq!(index.get("a").unwrap().1, assigned(1));
    assert_eq!(index.get(&long).unwrap().1, assigned(2));
}

#[test]
fn a_changed_tenant_makes_one_new_shard() {
    let mut items = items(20_000);
    let first = TenantIndex::build(&items, None).unwrap();
    assert!(first.shards().count() > GROUP_LEN, "the test wants groups");

    let upserted = first.upsert("tenant-77", assigned(9));
    assert_eq!(unshared(&upserted, &first), 1);
    assert_eq!(upserted.get("tenant-77").unwrap().1, assigned(9));
    assert_eq!(first.get("tenant-77").unwrap().1, assigned(77));

    items[77].1 = assigned(9);
    let rebuilt = TenantIndex::build(&items, Some(&first)).unwrap();
    assert_eq!(unshared(&rebuilt, &first), 1);
    assert!(
        TenantIndex::build(&items, Some(&upserted))
            .unwrap()
            .is_same_as(&upserted)
    );
    assert!(!rebuilt.is_same_as(&first));
}

#[test]
fn the_order_of_a_document_changes_nothing() {
    let mut items = items(3_000);
    let first = TenantIndex::build(&items, None).unwrap();
    items.reverse();
    assert!(
        TenantIndex::build(&items, Some(&first))
            .unwrap()
            .is_same_as(&first)
    );
}

#[test]
fn a_few_tenants_more_keep_the_shards() {
    let first = TenantIndex::build(&items(4_095), None).unwrap();
    let second = TenantIndex::build(&items(4_200), Some(&first)).unwrap();
    assert_eq!(first.bits, second.bits);
    assert!(unshared(&second, &first) < first.shards().count());
    let doubled = TenantIndex::build(&items(20_000), Some(&first)).unwrap();
    assert!(doubled.bits > first.bits);
}

/// Single changes only, from an empty index to many shards and back.
#[test]
fn grows_by_single_changes() {
    let mut index = TenantIndex::default();
    let count = SHARD_LEN_MAX as u32 * 3;
    for n in 0..count {
        index = index.upsert(&format!("tenant-{n}"), assigned(n));
    }
    assert!(index.bits > 0 && index.len() == count as usize, "{index:?}");
    assert!((0..count).all(|n| index.get(&format!("tenant-{n}")).unwrap().1 == assigned(n)));
    for n in 0..count {
        index = index.remove(&format!("tenant-{n}"));
    }
    assert!(index.is_empty() && index.iter().next().is_none());
}

#[test]
fn names_the_positions_of_a_duplicate() {
    let mut items = items(1_000);
    items[700] = items[3].clone();
    let error = TenantIndex::build(&items, None).unwrap_err();
    assert_eq!((error.first, error.second), (3, 700));
}

#[derive(Clone, Debug)]
enum Op {
    Upsert(u16, u32),
    Remove(u16),
    /// Builds the whole index, as for a new document.
    Build,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..400u16, 0..9u32).prop_map(|(id, target)| Op::Upsert(id, target)),
        3 => (0..400u16).prop_map(Op::Remove),
        1 => Just(Op::Build),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Catches: a lost, stale or duplicate row, for every operation.
    #[test]
    fn behaves_as_a_map(ops in prop::collection::vec(op(), 1..700)) {
        let mut model = BTreeMap::new();
        let mut index = TenantIndex::default();
        for op in ops {
            match op {
                Op::Upsert(id, target) => {
                    let id = format!("t{id}");
                    index = index.upsert(&id, assigned(target));
                    model.insert(id, assigned(target));
                }
                Op::Remove(id) => {
                    let id = format!("t{id}");
                    index = index.remove(&id);
                    model.remove(&id);
                }
                Op::Build => {
                    let items: Vec<_> = model.iter().map(|(id, a)| (id.as_str(), *a)).collect();
                    index = TenantIndex::build(&items[..], Some(&index)).unwrap();
                }
            }
            prop_assert_eq!(index.len(), model.len());
        }
        let found: BTreeMap<_, _> = index.iter().map(|(id, a)| (id.to_owned(), a)).collect();
        prop_assert_eq!(&found, &model);
        for id in (0..400).map(|n| format!("t{n}")) {
            prop_assert_eq!(index.get(&id).map(|found| found.1), model.get(&id).copied());
        }
    }
}
