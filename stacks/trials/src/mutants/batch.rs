//! Which mutants are built at once.

use super::patch::Patch;

/// Groups mutants so that each group needs one build. Mutants of several services go together, for each changes another
/// binary; a mutant of a crate that services share is alone. Shared ones come first: to take one back compiles all
/// services again.
pub(super) fn batches(patches: &[Patch]) -> Vec<Vec<&Patch>> {
    let (owned, shared): (Vec<&Patch>, Vec<&Patch>) =
        patches.iter().partition(|patch| patch.service().is_some());
    let mut batches: Vec<Vec<&Patch>> = Vec::new();
    for patch in owned {
        let has_room =
            |batch: &&mut Vec<&Patch>| batch.iter().all(|other| other.service() != patch.service());
        match batches.iter_mut().find(has_room) {
            Some(batch) => batch.push(patch),
            None => batches.push(vec![patch]),
        }
    }
    shared.into_iter().map(|patch| vec![patch]).chain(batches).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::patch::Catcher;

    fn patch(name: &str, file: &str) -> Patch {
        Patch {
            name: name.into(),
            description: "Breaks something.".into(),
            catcher: Catcher::Prove,
            says: String::new(),
            quick: false,
            files: vec![file.into()],
            file: "none".into(),
        }
    }

    #[test]
    fn a_batch_has_one_mutant_of_each_service_or_a_shared_one() {
        let patches = [
            patch("gateway.a", "gateway/src/a.rs"),
            patch("gateway.b", "gateway/src/b.rs"),
            patch("mailer.a", "mailer/src/a.rs"),
            patch("money.a", "payment/api/src/money.rs"),
            patch("payment.a", "payment/src/a.rs"),
            patch("store.a", "store/src/a.rs"),
        ];
        let names = |batch: Vec<&Patch>| batch.into_iter().map(|patch| patch.name.clone()).collect();
        let names: Vec<Vec<String>> = batches(&patches).into_iter().map(names).collect();
        let expected: [&[&str]; 4] =
            [&["money.a"], &["store.a"], &["gateway.a", "mailer.a", "payment.a"], &["gateway.b"]];
        assert_eq!(names, expected);
    }
}
