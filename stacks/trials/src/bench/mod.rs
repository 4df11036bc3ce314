//! `trials bench`: what an order costs, with telemetry off and with everything on, and beside an earlier revision if one is
//! named. All of it alternates within one run, so that other work on the machine concerns each alike.

mod args;
mod base;
mod database;
mod document;
mod grown;
mod load;
mod losses;
mod measured;
mod picture;
mod rows;
mod summary;
mod trial;
mod usage;
mod variant;

use std::{fs, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use stacks::{
    output::show,
    progress::Progress,
    settings::{Options, bare},
};

pub use self::args::BenchArgs;
use self::{
    database::{Database, Kind},
    grown::Grown,
    measured::Round,
    trial::Site,
    variant::Variant,
};
use crate::{
    directory::Directory,
    lent::{Broker, Server as _},
    report,
};

/// Measures, shows the tables, and writes them down.
///
/// # Errors
/// When the base cannot be built, or an order is not accepted or loses its e-mail.
pub async fn run(options: &Options, args: &BenchArgs) -> Result<()> {
    let mut progress = Progress::for_terminal();
    let variants = variants(options, args, &mut progress).inspect_err(|_| progress.failed())?;
    let dir = Directory::new("bench")?;
    let measured = measure(options, args, &variants, dir.path(), &mut progress).await;
    dir.remove()?;
    let rounds = measured.inspect_err(|_| progress.failed())?;
    let summary = summary::summary(&variants, &rounds);
    show(&summary)?;
    report::write(&rows::rows(&variants, &rounds), &args.report)?;
    let name = document::name(args);
    let write = |extension: &str, text: &str| {
        let file = args.docs.join(name).with_extension(extension);
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
    };
    write("svg", &picture::picture(&variants, &rounds))?;
    let last = fs::read_to_string(args.docs.join(name).with_extension("md")).unwrap_or_default();
    write("md", &document::document(args, &summary, &last))
}

fn variants(options: &Options, args: &BenchArgs, progress: &mut Progress) -> Result<Vec<Variant>> {
    let binaries = options.binaries.canonicalize().context("the binaries are gone")?;
    let mut variants = Vec::new();
    if let Some(revision) = &args.base {
        progress.begin("build the base");
        let base = base::build(&options.dir, &binaries, revision)?;
        progress.done(revision);
        variants.extend(Variant::pair("base ", &base));
    }
    variants.extend(Variant::pair("", &binaries));
    if args.growth.is_some() {
        ensure!(args.database == Kind::Sqlite, "cannot grow a PostgreSQL database; leave out --growth");
        variants.extend(Variant::grown(&binaries));
    }
    Ok(variants)
}

async fn measure(
    options: &Options,
    args: &BenchArgs,
    variants: &[Variant],
    dir: &Path,
    progress: &mut Progress,
) -> Result<Vec<Round>> {
    progress.begin("servers");
    let broker = Broker::start().await?;
    let database = Database::start(args.database, args.delay).await?;
    progress.done(&format!("RabbitMQ and {}", args.database.title()));
    let mut environment = bare(&options.env);
    environment.insert("AMQP_URL".to_owned(), broker.node.amqp_url());
    let grown = match args.growth {
        None => None,
        Some(orders) => {
            progress.begin("make the grown files");
            let grown = Grown::make(options, dir, &environment, orders).await?;
            progress.done(&format!("{orders} settled orders, {:.1} GB", grown.bytes()? as f64 / 1e9));
            Some(grown)
        }
    };
    let site = Site { dir, database: &database, grown, environment };
    let mut rounds = Vec::new();
    for number in 0..args.rounds {
        let mut round = Vec::new();
        let order: Vec<&Variant> =
            if number % 2 == 0 { variants.iter().collect() } else { variants.iter().rev().collect() };
        for variant in order {
            progress.begin(&format!("round {} of {}, telemetry {}", number + 1, args.rounds, variant.name));
            let measured = site.run(variant, Duration::from_secs(args.seconds.into())).await?;
            let (rate, cpu) = (measured.orders_per_s, measured.total().cpu_us);
            progress.done(&format!("{rate:.0} orders/s, {cpu:.0} µs of CPU an order"));
            round.push(measured);
        }
        if number % 2 == 1 {
            round.reverse();
        }
        rounds.push(round);
    }
    Ok(rounds)
}
