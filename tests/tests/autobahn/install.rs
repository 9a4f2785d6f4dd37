//! Where the suite comes from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The last version that runs. Later ones on PyPI have no dependencies in their metadata. The suite
/// is Python 2 only, and so are the versions of its dependencies that pip picks for Python 2: they
/// don't change any more.
const PACKAGE: &str = "autobahntestsuite==0.8.2";

/// Starts the suite from the folder that pip filled. `addsitedir` reads the `.pth` files that make
/// `zope` a package. The suite's servers refuse a `Host` with another port than their own, and a
/// router has another one, so they must not look at it.
const START: &str = "\
import site, sys
site.addsitedir(sys.argv.pop(1))
from autobahn.websocket.protocol import WebSocketServerFactory
WebSocketServerFactory.externalPort = property(lambda self: None, lambda self, port: None)
from autobahntestsuite.wstest import run
run()
";

/// The installed suite.
pub(crate) struct Suite {
    python: PathBuf,
    folder: PathBuf,
}

impl Suite {
    /// Installs the suite once, into the target folder and nowhere else.
    ///
    /// # Panics
    /// It can't be had.
    pub(crate) fn install() -> Self {
        let python = python();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("autobahn-0.8.2");
        let whole = folder.join("whole");
        if !whole.exists() {
            // What an interrupted run has left is not to be trusted.
            let _ = fs::remove_dir_all(&folder);
            let mut pip = Command::new(&python);
            pip.args(["-m", "pip", "install", "--quiet", PACKAGE, "--target"]);
            let output = pip.arg(&folder).output().expect("it was just found");
            assert!(
                output.status.success(),
                "{pip:?} failed, and this test needs it:\n{}",
                String::from_utf8_lossy(&output.stderr)
            );
            fs::write(&whole, "").expect("the target folder can be written");
        }
        fs::write(folder.join("start.py"), START).expect("the target folder can be written");
        Self { python, folder }
    }

    /// The suite in one of its modes.
    pub(crate) fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(&self.python);
        command.arg(self.folder.join("start.py")).arg(&self.folder);
        command.args(["--mode", mode, "--webport", "0"]);
        command
    }
}

/// A Python 2.7 with pip: `PYTHON2`, one on the path, or one that pyenv has installed.
fn python() -> PathBuf {
    let named = std::env::var_os("PYTHON2").map(PathBuf::from);
    let home = std::env::var_os("PYENV_ROOT").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".pyenv")));
    let versions = home.and_then(|home| fs::read_dir(home.join("versions")).ok());
    let installed = versions.into_iter().flatten().filter_map(|entry| {
        let entry = entry.ok()?;
        let is_two = entry.file_name().to_str()?.starts_with("2.7");
        is_two.then(|| entry.path().join("bin/python"))
    });
    let on_path = ["python2.7", "python2"].map(PathBuf::from);
    let mut candidates = named.into_iter().chain(installed).chain(on_path);
    let found = candidates.find(|python| {
        let pip = Command::new(python)
            .args(["-m", "pip", "--version"])
            .output();
        pip.is_ok_and(|output| output.status.success())
    });
    found.expect(
        "the Autobahn suite needs a Python 2.7 with pip, and there is none; \
         install one (`pyenv install 2.7`) or name it in PYTHON2",
    )
}
