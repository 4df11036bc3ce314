//! What a file imports: the paths of its tokens, whether a `use` or an expression names them, that lead to another file
//! of its crate. Left out are code for tests alone, and re-exports: they pass an item on and do not need it.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use proc_macro2::TokenTree;

use crate::{
    modules::{ItemPath, Modules, Names},
    paths::{is_mark, is_word, paths},
};

/// The files of the crate that a file with these tokens, which is this module, imports.
pub(super) fn imports(
    modules: &Modules,
    module: &ItemPath,
    file: &Path,
    tokens: &[TokenTree],
) -> BTreeSet<PathBuf> {
    let mut reader = Reader { modules, found: BTreeSet::new() };
    reader.read(module, &Names::new(), tokens);
    reader.found.remove(file);
    reader.found
}

struct Reader<'a> {
    modules: &'a Modules,
    found: BTreeSet<PathBuf>,
}

impl Reader<'_> {
    fn read(&mut self, module: &ItemPath, outer: &Names, tokens: &[TokenTree]) {
        let names = self.modules.names_in(module, outer, tokens);
        let (mut at, mut is_test, mut is_public) = (0, false, false);
        while let Some(token) = tokens.get(at) {
            at += 1;
            match token {
                TokenTree::Punct(mark) if mark.as_char() == '#' => {
                    is_test |=
                        tokens.get(at).is_some_and(|attribute| attribute.to_string() == "[cfg (test)]");
                    at += 1;
                }
                TokenTree::Punct(mark) if mark.as_char() == ';' => (is_test, is_public) = (false, false),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    let is_scope = is_public && inner.len() < 3 && group.to_string().starts_with('(');
                    if !is_test && !is_scope {
                        self.read(module, &names, &inner);
                    }
                    if !is_scope && group.to_string().starts_with('{') {
                        (is_test, is_public) = (false, false);
                    }
                }
                TokenTree::Ident(_) if is_word(token, "pub") => is_public = true,
                TokenTree::Ident(_) if is_word(token, "use") && is_public => {
                    at = tokens[at..]
                        .iter()
                        .position(|token| is_mark(Some(token), ';'))
                        .map_or(at, |end| at + end);
                }
                TokenTree::Ident(_) if is_word(token, "mod") => {
                    if let (Some(name), Some(TokenTree::Group(body))) = (tokens.get(at), tokens.get(at + 1)) {
                        let body: Vec<TokenTree> = body.stream().into_iter().collect();
                        if !is_test {
                            self.read(&[&module[..], &[name.to_string()]].concat(), &Names::new(), &body);
                        }
                        (is_test, is_public) = (false, false);
                        at += 1;
                    }
                    at += 1;
                }
                TokenTree::Ident(_) => {
                    let is_import = at > 1 && is_word(&tokens[at - 2], "use");
                    let (paths, end) = paths(tokens, at - 1);
                    // A lone word of an expression is a variable sooner than a module.
                    for path in paths.iter().filter(|path| !is_test && (is_import || path.segments.len() > 1))
                    {
                        let item = self.modules.absolute(module, &names, &path.segments);
                        let file = item.and_then(|item| self.modules.file(&item));
                        self.found.extend(file.map(Path::to_owned));
                    }
                    at = end.max(at);
                }
                _ => {}
            }
        }
    }
}
