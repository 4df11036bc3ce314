//! The recovery of a mailer from a backup, as docs/operations.md describes it.

use std::{fs, path::Path, process::Command};

use stacks::local::layout::Component::{Mailer, Payment};

use crate::harness::System;

/// Runs `sqlite3` with a command or a statement on a database file.
fn sqlite(file: &Path, command: &str) {
    let status = Command::new("sqlite3").arg(file).arg(command).status();
    let status = status.expect("sqlite3 does not start; run `make test`, which installs it");
    assert!(status.success(), "{command}");
}

/// Puts a backup in place of a database file.
fn restore(file: &Path, backup: &Path) {
    for beside in ["db-wal", "db-shm"] {
        let _ = fs::remove_file(file.with_extension(beside));
    }
    fs::copy(backup, file).unwrap();
}

#[tokio::test]
async fn events_published_again_restore_what_a_backup_of_the_mailer_lacks() {
    let mut system = System::start().await;
    let [payments, emails] = ["var/payment.db", "var/mailer.db"].map(|file| system.dir().join(file));
    let backup = system.dir().join("mailer-backup.db");
    let before = system.place().await;
    system.email(&before.id).await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    sqlite(&emails, &format!(".backup {}", backup.display()));
    let after = system.place().await;
    let lost = system.email(&after.id).await;

    system.kill(Mailer);
    restore(&emails, &backup);
    system.restart(Mailer).await;
    system.kill(Payment);
    let republish = "UPDATE outbox SET published_at = NULL, lease = NULL, leased_until = 0 WHERE published_at IS NOT NULL";
    sqlite(&payments, republish);
    system.restart(Payment).await;

    system.reaches(Mailer, "messaging_received_total{outcome=\"duplicate\"}", 1.0).await;
    system.reaches(Mailer, "emails_sent_total{outcome=\"sent\"}", 1.0).await;
    assert_eq!(system.emails().len(), 2);
    let id = |email: &str| email.lines().find(|line| line.starts_with("Message-ID:")).unwrap().to_owned();
    assert_eq!(id(&system.email(&after.id).await), id(&lost), "the second copy has the same Message-ID");
}
