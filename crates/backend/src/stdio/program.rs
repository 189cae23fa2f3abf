//! Finds a program before it is started, so that what is wrong can be said in words.

use std::ffi::OsStr;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Why a program cannot be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProgramError {
    /// A bare name that no folder of `PATH` has.
    #[error("`{0}` is not in PATH; install it or give an absolute path in `command`")]
    NotInPath(String),
    /// A path that leads nowhere.
    #[error("`{0}` does not exist; check `command`")]
    Missing(String),
    /// A path to something that cannot be run.
    #[error("`{0}` is not an executable file; check `command` or make it executable with chmod +x")]
    NotExecutable(String),
    /// The folder it is to run in.
    #[error("`{path}` cannot be entered; check `directory`")]
    Directory {
        /// The folder.
        path: String,
        /// What the system says.
        source: io::Error,
    },
}

/// Where `command` is: a path as it is, relative to `directory`; a bare name by `path`, the child's own `PATH`.
pub(crate) fn find(
    command: &Path,
    path: Option<&OsStr>,
    directory: &Path,
) -> Result<PathBuf, ProgramError> {
    if let Err(source) = std::fs::metadata(directory.join(".")) {
        let path = directory.display().to_string();
        return Err(ProgramError::Directory { path, source });
    }
    let shown = || command.display().to_string();
    if command.components().count() > 1 || command.is_absolute() {
        let found = directory.join(command);
        return match std::fs::metadata(&found) {
            Err(_) => Err(ProgramError::Missing(shown())),
            Ok(_) if !is_executable(&found) => Err(ProgramError::NotExecutable(shown())),
            Ok(_) => Ok(found),
        };
    }
    path.map(std::env::split_paths)
        .into_iter()
        .flatten()
        .map(|folder| directory.join(folder).join(command))
        .find(|candidate| is_executable(candidate))
        .ok_or_else(|| ProgramError::NotInPath(shown()))
}

fn is_executable(path: &Path) -> bool {
    std::fs::metadata(path)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_looked_up_like_a_shell_does_and_what_is_wrong_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let here = folder.path();
        std::fs::create_dir(here.join("bin")).unwrap();
        let tool = here.join("bin/tool");
        std::fs::write(&tool, "#!/bin/sh\n").unwrap();
        let check = |command: &str, expected: Result<&Path, &str>| {
            let path = Some(OsStr::new("/nowhere:bin"));
            let found = find(Path::new(command), path, here).map_err(|error| error.to_string());
            assert_eq!(found.as_deref(), expected.map_err(str::to_owned).as_deref());
        };
        check(
            "bin/tool",
            Err(
                "`bin/tool` is not an executable file; check `command` or make it executable with chmod +x",
            ),
        );
        std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
        check("bin/tool", Ok(&tool));
        check("tool", Ok(&tool));
        check(
            "uvx",
            Err("`uvx` is not in PATH; install it or give an absolute path in `command`"),
        );
        check("./uvx", Err("`./uvx` does not exist; check `command`"));
    }

    #[test]
    fn a_missing_folder_is_not_blamed_on_the_program() {
        let error = find(Path::new("sh"), None, Path::new("/no/such/folder")).unwrap_err();
        assert!(error.to_string().contains("check `directory`"), "{error}");
    }
}
