//! References: the program with its version and the network's fingerprint, and the network's paper, where
//! it is known.

use crate::model::Report;

/// As the paper is cited.
const ARCFACE: &str = "@inproceedings{deng2019arcface,
  author    = {Deng, Jiankang and Guo, Jia and Xue, Niannan and Zafeiriou, Stefanos},
  title     = {{ArcFace}: Additive Angular Margin Loss for Deep Face Recognition},
  booktitle = {IEEE/CVF Conference on Computer Vision and Pattern Recognition},
  year      = {2019}
}
";

pub(super) fn entries(report: &Report) -> String {
    let provenance = &report.provenance;
    let commit =
        provenance.commit.as_deref().map_or(String::new(), |commit| format!(", commit {commit}"));
    // A paper that is not of the network must not be cited.
    let paper = if provenance.network.imported {
        let name = provenance.network.name.replace(char::is_control, " ");
        format!("% Cite the paper of the network that made the embeddings as well: {name}.\n")
    } else {
        ARCFACE.to_owned()
    };
    format!(
        "@software{{facefold,\n  author  = {{{{The facefold authors}}}},\n  title   = {{facefold: age and gender \
         heads on frozen {{ArcFace}} embeddings}},\n  version = {{{}{}}},\n  year    = {{{}}},\n  note    = \
         {{Network {}, fingerprint {}}}\n}}\n\n{paper}",
        escaped(&provenance.version),
        escaped(&commit),
        escaped(provenance.date.split('-').next().unwrap_or_default()),
        escaped(&provenance.network.name),
        escaped(&provenance.network.fingerprint),
    )
}

/// Text that leaves its braces.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars().filter(|letter| !matches!(letter, '{' | '}' | '\\')) {
        if matches!(letter, '&' | '%' | '$' | '#' | '_') {
            escaped.push('\\');
        }
        escaped.push(if letter.is_control() { ' ' } else { letter });
    }
    escaped
}
