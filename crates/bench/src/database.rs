//! Databases to measure on: each new, and gone when dropped.

use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::cluster::Cluster;

/// Where databases are made.
#[derive(Debug)]
pub enum Home {
    /// SQLite, each in a folder of its own.
    Folders,
    /// PostgreSQL.
    Cluster(Cluster),
}

/// A database.
#[derive(Debug)]
pub struct Database<'a> {
    /// Its address, as the server is told it.
    pub url: String,
    place: Place<'a>,
}

#[derive(Debug)]
enum Place<'a> {
    Folder { _folder: TempDir },
    Cluster { cluster: &'a Cluster, name: String },
}

impl Home {
    /// An empty database.
    pub async fn database(&self) -> anyhow::Result<Database<'_>> {
        Ok(match self {
            Self::Folders => {
                let folder = tempfile::tempdir()?;
                let url = format!("sqlite:{}", folder.path().join("bench.db").display());
                Database { url, place: Place::Folder { _folder: folder } }
            }
            Self::Cluster(cluster) => {
                static MADE: AtomicU32 = AtomicU32::new(0);
                let name = format!("bench_{}", MADE.fetch_add(1, Ordering::Relaxed));
                cluster.execute("postgres", &format!("CREATE DATABASE {name}")).await?;
                Database { url: cluster.url(&name), place: Place::Cluster { cluster, name } }
            }
        })
    }
}

impl Database<'_> {
    /// The cluster and the name there, of PostgreSQL.
    pub fn on_cluster(&self) -> Option<(&Cluster, &str)> {
        match &self.place {
            Place::Folder { .. } => None,
            Place::Cluster { cluster, name } => Some((cluster, name)),
        }
    }
}

impl Drop for Database<'_> {
    /// A large one must not take the room of the next.
    fn drop(&mut self) {
        if let Some((cluster, name)) = self.on_cluster() {
            cluster.drop_database(name);
        }
    }
}
