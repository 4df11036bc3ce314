//! The arguments of a campaign.

use std::path::PathBuf;

/// How long a campaign lasts, and under which load.
#[derive(Clone, Debug, clap::Args)]
pub struct CampaignArgs {
    /// How long faults are caused, in hours; parts such as 0.05 are three minutes
    #[arg(long, value_name = "N")]
    pub hours: f64,
    /// Repeats the schedule of an earlier campaign [default: a new one, which is shown]
    #[arg(long)]
    pub seed: Option<u64>,
    /// Orders that are placed each second while the clients get their answers
    #[arg(long, default_value_t = 400.0, value_name = "N")]
    pub rate: f64,
    /// Where to write the result
    #[arg(long, default_value = "target/campaign.json", value_name = "FILE")]
    pub report: PathBuf,
}
