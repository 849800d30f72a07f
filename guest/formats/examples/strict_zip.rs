//! The verdicts of the guest's strict ZIP profile, for comparison with the host's.

mod support;

use microbuild_formats::apk::find_sections;
use microbuild_formats::zip::read_strict;

fn main() -> std::io::Result<()> {
    support::answer_each(|archive| {
        let verdict =
            find_sections(archive).and_then(|sections| read_strict(archive, &sections).map(|_| ()));
        verdict.map_or_else(|error| error.to_string(), |()| "accepted".to_owned())
    })
}
