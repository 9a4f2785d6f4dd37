//! Which modules of a crate import each other, read from its source.
//!
//! The children of one parent must be in layers: if `a` names something that `b` defines, however
//! indirectly, `b` names nothing that `a` defines. A re-export counts as the module that defines the
//! item. Parents and children may name each other, because a parent is made of its children. What is
//! only there for unit tests or for documentation, such as `#[cfg(test)] mod tests`, doesn't count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Group, TokenStream, TokenTree};

/// Names joined by `::`. As the path of a module, from the crate's root, which is empty.
type Names = Vec<String>;

/// The most re-exports that one item passes through. Only imports that lead back to themselves have
/// more.
const REEXPORTS_MAX: usize = 16;

/// The words that a name of an item comes after.
const ITEMS: [&str; 8] = [
    "const", "enum", "fn", "static", "struct", "trait", "type", "union",
];

/// The imports that are part of a circle between children of one parent, each with a place that needs
/// it. `src` is the crate's folder of that name.
pub(crate) fn circles(src: &Path) -> Vec<String> {
    load(src).circles()
}

/// The modules that name something of the other crate `name`.
pub(crate) fn users(src: &Path, name: &str) -> Vec<String> {
    load(src).users(name)
}

fn load(src: &Path) -> Crate {
    let root = ["lib.rs", "main.rs"].map(|name| src.join(name));
    let root = root.into_iter().find(|root| root.exists());
    let root = root.unwrap_or_else(|| panic!("{} is no crate's source", src.display()));
    let read = |path: &Path| fs::read_to_string(path).ok();
    Crate::read(src, &root, &read)
}

/// The top modules of a crate that each of its top modules uses, each with the places that do.
pub(crate) fn uses(src: &Path) -> BTreeMap<String, BTreeMap<String, BTreeSet<String>>> {
    let read = |path: &Path| fs::read_to_string(path).ok();
    let all = Crate::read(src, &src.join("lib.rs"), &read);
    all.siblings().remove(&Names::new()).unwrap_or_default()
}

#[derive(Default)]
struct Crate {
    modules: BTreeMap<Names, Module>,
}

/// What a module names. The paths are as written, such as `super::b::C`.
#[derive(Default)]
struct Module {
    /// The names of its own items, and of those inside them.
    items: BTreeSet<String>,
    paths: BTreeSet<Names>,
    /// The names that `use` brings in, and of what.
    imports: BTreeMap<String, Names>,
    /// Of what `use` brings in every name.
    globs: Vec<Names>,
}

/// The imports between the children of one parent, each with the places that need it.
type Siblings = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Where the text of a module's file comes from.
type Files<'a> = &'a dyn Fn(&Path) -> Option<String>;

impl Crate {
    fn read(src: &Path, root: &Path, files: Files<'_>) -> Self {
        let mut all = Self::default();
        let text = files(root).expect("the root can be read");
        all.read_module(src, &Names::new(), tokens_of(&text, root), files);
        all
    }

    fn read_module(&mut self, src: &Path, at: &Names, tokens: TokenStream, files: Files<'_>) {
        let mut module = Module::default();
        let mut children = Vec::new();
        module.read(tokens, &mut children);
        self.modules.insert(at.clone(), module);
        for (name, inline) in children {
            let child = joined(at, [name]);
            let tokens = inline.unwrap_or_else(|| file_of(src, &child, files));
            self.read_module(src, &child, tokens, files);
        }
    }

    /// The module that defines what `path` means in the module `at`. `None`: it is of another crate.
    fn definer(&self, at: &Names, path: &[String], reexports: usize) -> Option<Names> {
        let (first, rest) = path.split_first()?;
        let base = match first.as_str() {
            "crate" => Names::new(),
            "self" => at.clone(),
            "super" => at.split_last()?.1.to_vec(),
            _ => return self.definer_in(at, path, reexports),
        };
        self.definer_in(&base, rest, reexports).or(Some(base))
    }

    /// The module that defines `path`, which starts in `module`. `None`: nothing here has its name.
    fn definer_in(&self, module: &Names, path: &[String], reexports: usize) -> Option<Names> {
        let Some((name, rest)) = path.split_first() else {
            return Some(module.clone());
        };
        if name == "super" {
            let parent = module.split_last()?.1.to_vec();
            return self.definer_in(&parent, rest, reexports).or(Some(parent));
        }
        let child = joined(module, [name.clone()]);
        if self.modules.contains_key(&child) {
            return self.definer_in(&child, rest, reexports).or(Some(child));
        }
        let Module {
            items,
            imports,
            globs,
            ..
        } = &self.modules[module];
        if items.contains(name) {
            return Some(module.clone());
        }
        let left = reexports.checked_sub(1)?;
        if let Some(import) = imports.get(name) {
            let path = joined(import, rest.iter().cloned());
            return self.definer(module, &path, left);
        }
        let mut brought = globs.iter().filter_map(|glob| {
            let source = self.definer(module, glob, left)?;
            self.definer_in(&source, path, left)
        });
        brought.next()
    }

    fn siblings(&self) -> BTreeMap<Names, Siblings> {
        let mut all: BTreeMap<Names, Siblings> = BTreeMap::new();
        for (from, module) in &self.modules {
            for path in &module.paths {
                let Some(to) = self.definer(from, path, REEXPORTS_MAX) else {
                    continue;
                };
                let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
                // Otherwise one of them is in the other.
                if let (Some(a), Some(b)) = (from.get(common), to.get(common)) {
                    let siblings = all.entry(from[..common].to_vec()).or_default();
                    let imports = siblings.entry(a.clone()).or_default();
                    let place = format!("{} names {}", shown(from), path.join("::"));
                    imports.entry(b.clone()).or_default().insert(place);
                }
            }
        }
        all
    }

    fn users(&self, name: &str) -> Vec<String> {
        let names = |module: &Module| {
            module
                .paths
                .iter()
                .any(|path| path.first().is_some_and(|it| it == name))
        };
        let users = self.modules.iter().filter(|(_, module)| names(module));
        users.map(|(path, _)| shown(path)).collect()
    }

    fn circles(&self) -> Vec<String> {
        let mut found = Vec::new();
        for (parent, siblings) in self.siblings() {
            for (a, imports) in &siblings {
                for (b, places) in imports.iter().filter(|(b, _)| reaches(&siblings, b, a)) {
                    let parent = shown(&parent);
                    let (count, place) = (places.len(), places.last().map_or("", String::as_str));
                    found.push(format!("in {parent}, {a} -> {b}: {place} ({count} in all)"));
                }
            }
        }
        found
    }
}

impl Module {
    /// Reads the code of a module. `children` gets its child modules, and the code of those that
    /// have no file of their own.
    fn read(&mut self, code: TokenStream, children: &mut Vec<(String, Option<TokenStream>)>) {
        let tokens: Vec<_> = code.into_iter().collect();
        let mut rest = &tokens[..];
        while let Some((first, after)) = rest.split_first() {
            rest = match (first, after) {
                (TokenTree::Punct(hash), [TokenTree::Group(attribute), after @ ..])
                    if hash.as_char() == '#' =>
                {
                    let skipped = is_left_out(attribute);
                    if skipped { after_item(after) } else { after }
                }
                (TokenTree::Ident(word), [TokenTree::Ident(name), next, after @ ..])
                    if word == "mod" =>
                {
                    let inline = match next {
                        TokenTree::Group(body) => Some(body.stream()),
                        _ => None,
                    };
                    children.push((name.to_string(), inline));
                    after
                }
                // `use<'a>` in a type says which lifetimes it has.
                (TokenTree::Ident(word), [next, ..]) if word == "use" && !is(next, '<') => {
                    let end = after.iter().position(|token| is(token, ';'));
                    let (tree, after) = after.split_at(end.unwrap_or(after.len()));
                    self.read_use(tree, &Names::new());
                    after
                }
                (TokenTree::Ident(word), [TokenTree::Ident(name), after @ ..])
                    if ITEMS.iter().any(|item| word == item) =>
                {
                    self.items.insert(name.to_string());
                    after
                }
                (TokenTree::Ident(_), _) => {
                    let (path, after) = path_at(rest);
                    if path.len() > 1 {
                        self.paths.insert(path);
                    }
                    after
                }
                (TokenTree::Group(group), after) => {
                    self.read(group.stream(), children);
                    after
                }
                (TokenTree::Punct(_) | TokenTree::Literal(_), after) => after,
            };
        }
    }

    /// Reads what stands between `use` and `;`, or a part of it in braces.
    fn read_use(&mut self, tree: &[TokenTree], prefix: &Names) {
        for part in tree.split(|token| is(token, ',')) {
            let (path, after) = path_at(part);
            let mut path = joined(prefix, path);
            // Also of `a::{self}`.
            let is_itself = path.len() > 1 && path.last().is_some_and(|name| name == "self");
            if is_itself {
                path.pop();
            }
            let after: Vec<_> = after.iter().filter(|token| !is(token, ':')).collect();
            match after[..] {
                [TokenTree::Group(parts)] => {
                    let parts: Vec<_> = parts.stream().into_iter().collect();
                    self.read_use(&parts, &path);
                    continue;
                }
                [star] if is(star, '*') => self.globs.push(path.clone()),
                [_as, name] => drop(self.imports.insert(name.to_string(), path.clone())),
                _ => {
                    let name = path.last().cloned().unwrap_or_default();
                    self.imports.insert(name, path.clone());
                }
            }
            self.paths.insert(path);
        }
    }
}

/// The path that the tokens start with, and what comes after it.
fn path_at(mut tokens: &[TokenTree]) -> (Names, &[TokenTree]) {
    let mut path = Names::new();
    loop {
        match tokens {
            [TokenTree::Ident(name), after @ ..] if path.is_empty() => {
                path.push(name.to_string());
                tokens = after;
            }
            [a, b, TokenTree::Ident(name), after @ ..]
                if !path.is_empty() && is(a, ':') && is(b, ':') =>
            {
                path.push(name.to_string());
                tokens = after;
            }
            _ => return (path, tokens),
        }
    }
}

fn is(token: &TokenTree, sign: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == sign)
}

/// Whether an attribute is `cfg(test)`, `cfg(doc)` or another condition that needs one of them.
fn is_left_out(attribute: &Group) -> bool {
    let words = words_of(attribute.stream());
    let has = |word: &str| words.iter().any(|found| found == word);
    words.first().is_some_and(|first| first == "cfg") && (has("test") || has("doc")) && !has("not")
}

fn words_of(tokens: TokenStream) -> Names {
    let words = tokens.into_iter().flat_map(|token| match token {
        TokenTree::Ident(word) => vec![word.to_string()],
        TokenTree::Group(group) => words_of(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => Vec::new(),
    });
    words.collect()
}

/// What comes after the item that these tokens start with.
fn after_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let ends = |token: &TokenTree| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        other => is(other, ';'),
    };
    let end = tokens.iter().position(ends);
    end.map_or(&[], |end| &tokens[end + 1..])
}

fn file_of(src: &Path, module: &Names, files: Files<'_>) -> TokenStream {
    let folder = src.join(module.iter().collect::<PathBuf>());
    let candidates = [folder.with_extension("rs"), folder.join("mod.rs")];
    let mut found = candidates
        .iter()
        .filter_map(|path| Some((path, files(path)?)));
    let (path, text) = found
        .next()
        .unwrap_or_else(|| panic!("no file has the module {}", shown(module)));
    tokens_of(&text, path)
}

fn tokens_of(text: &str, path: &Path) -> TokenStream {
    let tokens = text.parse();
    tokens.unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn joined(path: &[String], more: impl IntoIterator<Item = String>) -> Names {
    path.iter().cloned().chain(more).collect()
}

fn shown(module: &[String]) -> String {
    match module {
        [] => "the root".to_owned(),
        _ => module.join("::"),
    }
}

/// Whether imports lead from one to the other.
fn reaches(siblings: &Siblings, from: &str, to: &str) -> bool {
    let mut seen = BTreeSet::from([from]);
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        let next = siblings.get(at).into_iter().flat_map(BTreeMap::keys);
        open.extend(next.map(String::as_str).filter(|next| seen.insert(next)));
    }
    false
}

/// A crate of these files, and the circles in it.
fn circles_of(files: &[(&str, &str)]) -> Vec<String> {
    let read = |path: &Path| {
        let file = files.iter().find(|(name, _)| Path::new(name) == path);
        file.map(|(_, text)| (*text).to_owned())
    };
    Crate::read(Path::new(""), Path::new("lib.rs"), &read).circles()
}

#[test]
fn a_circle_is_found_however_it_is_written() {
    let ways_to_a = [
        "use crate::a::A;",
        "use super::{x, a::{self, A as Other}};",
        "use crate::A;",
        "use super::*; fn f(_: super::A) {}",
        "fn f() -> Vec<crate::a::A> { Vec::new() }",
        "fn f() { assert!(matches!(0, crate::a::MAX)) }",
        "mod deep { use super::super::a::A; }",
        "use crate::c::A;",
        "use crate::d::A;",
        "use crate::a; fn f(_: a::A) {}",
    ];
    for way in ways_to_a {
        let found = circles_of(&[
            ("lib.rs", "mod a; mod b; mod c; mod d; pub use a::A;"),
            (
                "a.rs",
                "use crate::b::B; pub struct A; pub const MAX: u8 = 0;",
            ),
            ("b.rs", &format!("{way} pub struct B;")),
            ("c.rs", "pub use super::a::A;"),
            ("d.rs", "pub use super::a::*;"),
        ]);
        assert!(
            found
                .iter()
                .any(|line| line.starts_with("in the root, b -> a: b")),
            "{way}: {found:?}"
        );
        assert!(found.contains(&"in the root, a -> b: a names crate::b::B (1 in all)".to_owned()));
    }
}

#[test]
fn layers_parents_and_tests_are_no_circle() {
    let found = circles_of(&[
        (
            "lib.rs",
            "mod a; mod b; pub use a::A; pub use b::child::C; pub struct Root;",
        ),
        (
            "a.rs",
            "//! See [`B`](crate::b::B).\nuse std::fmt; pub struct A; // crate::b::B\n
             #[cfg(test)] mod tests; #[cfg(test)] use crate::b::B;
             #[cfg(doc)] use crate::b::B;
             #[cfg(all(test, unix))] mod other { use crate::b::B; }
             fn f() -> &'static str { \"crate::b::B\" }",
        ),
        ("a/tests.rs", "use crate::b::B;"),
        (
            "b/mod.rs",
            "pub mod child; use child::C; use crate::{A, Root}; pub struct B;",
        ),
        ("b/child.rs", "use super::B; use crate::Root; pub struct C;"),
    ]);
    assert_eq!(found, Vec::<String>::new());
}

#[test]
fn a_circle_of_three_and_one_inside_a_module_are_found() {
    let found = circles_of(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "use crate::c::C; pub struct B;"),
        ("c/mod.rs", "mod d; mod e; use crate::a::A; pub struct C;"),
        ("c/d.rs", "use super::e::E; pub struct D;"),
        ("c/e.rs", "use super::d::D; pub struct E;"),
    ]);
    let expected = [
        "in the root, a -> b: a names crate::b::B (1 in all)",
        "in the root, b -> c: b names crate::c::C (1 in all)",
        "in the root, c -> a: c names crate::a::A (1 in all)",
        "in c, d -> e: c::d names super::e::E (1 in all)",
        "in c, e -> d: c::e names super::d::D (1 in all)",
    ];
    assert_eq!(found, expected);
}
