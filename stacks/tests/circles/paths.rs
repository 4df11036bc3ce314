//! Paths in the tokens of Rust.

use proc_macro2::{Delimiter, TokenTree};

/// A path of a `use` or an expression.
pub(super) struct NamedPath {
    pub(super) segments: Vec<String>,
    /// What a `use` calls it.
    pub(super) name: Option<String>,
}

/// The paths that begin at a token, several where a `use` has braces; and where they end.
pub(super) fn paths(tokens: &[TokenTree], start: usize) -> (Vec<NamedPath>, usize) {
    let mut segments: Vec<String> = Vec::new();
    let mut at = start;
    loop {
        match tokens.get(at) {
            Some(token @ TokenTree::Ident(_)) => segments.push(token.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace && at > start => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let branches = inner.split(|token| is_mark(Some(token), ','));
                let branches = branches.flat_map(|branch| paths(branch, 0).0);
                let whole = |branch: NamedPath| {
                    let name = branch.name.filter(|name| name != "self").or_else(|| segments.last().cloned());
                    NamedPath { segments: [&segments[..], &branch.segments].concat(), name }
                };
                return (branches.map(whole).collect(), at + 1);
            }
            _ => break,
        }
        at += 1;
        if !(is_mark(tokens.get(at), ':') && is_mark(tokens.get(at + 1), ':')) {
            break;
        }
        at += 2;
    }
    let renamed = tokens.get(at).is_some_and(|token| is_word(token, "as"));
    let name = if renamed { tokens.get(at + 1).map(ToString::to_string) } else { segments.last().cloned() };
    (if segments.is_empty() { Vec::new() } else { vec![NamedPath { segments, name }] }, at)
}

pub(super) fn is_mark(token: Option<&TokenTree>, mark: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == mark)
}

pub(super) fn is_word(token: &TokenTree, word: &str) -> bool {
    matches!(token, TokenTree::Ident(ident) if ident == word)
}
