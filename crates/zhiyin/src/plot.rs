//! Draws the scores of a list as horizontal bars, to SVG or PNG.
//!
//! The font is compiled in, so that it works on machines without any. It has Latin letters only: other scripts show in SVG, where the
//! viewer brings the font, and as empty boxes in PNG.

use std::{path::Path, sync::OnceLock};

use anyhow::{Context, Result, anyhow};
use plotters::{
    coord::Shift,
    prelude::*,
    style::{
        FontStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};
use zhiyin_core::Problem;

/// Width of the picture in pixels.
const WIDTH_PX: i32 = 900;
/// Height of one bar with its gap, in pixels.
const ROW_PX: i32 = 28;
/// Room for the title above the bars, in pixels.
const HEAD_PX: i32 = 56;
/// Room below the bars, in pixels.
const FOOT_PX: i32 = 18;
/// Pixels of a PNG per pixel of these numbers.
const PNG_SCALE: i32 = 2;
/// Where the bars begin, in pixels from the left: room for the labels.
const BARS_X: i32 = 330;
/// Where the longest bar ends, in pixels from the left: room for its number.
const BARS_END_X: i32 = 820;
/// Characters of a label; longer ones are cut.
const LABEL_CHARS_MAX: usize = 38;

const INK: RGBColor = RGBColor(34, 40, 49);
const FAINT: RGBColor = RGBColor(205, 210, 216);
/// Colours told apart by people with any common colour vision (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(120, 120, 120),
];

/// One bar.
#[derive(Clone, Debug, PartialEq)]
pub struct Bar {
    /// What stands left of it.
    pub label: String,
    /// Its length.
    pub value: f64,
    /// What its colour stands for.
    pub group: String,
}

/// Draws `bars` under `title` into `path`; its ending (`.svg` or `.png`) tells the format.
///
/// # Errors
/// Another ending; a file that cannot be written.
pub fn draw(path: &Path, title: &str, bars: &[Bar]) -> Result<()> {
    load_font()?;
    let height = HEAD_PX + FOOT_PX + ROW_PX * bars.len().max(1) as i32;
    let size = |scale: i32| ((WIDTH_PX * scale) as u32, (height * scale) as u32);
    let written = match path.extension().and_then(|ending| ending.to_str()) {
        Some("svg") => Pen::new(SVGBackend::new(path, size(1)), 1).paint(title, bars),
        Some("png") => Pen::new(BitMapBackend::new(path, size(PNG_SCALE)), PNG_SCALE).paint(title, bars),
        _ => return Err(unknown_ending(path).into()),
    };
    written.with_context(|| format!("cannot draw {}", path.display()))
}

/// Refuses a path that [`draw`] couldn't write, before any work is done.
///
/// # Errors
/// An ending other than `.svg` and `.png`.
pub fn check_path(path: &Path) -> Result<(), Problem> {
    match path.extension().and_then(|ending| ending.to_str()) {
        Some("svg" | "png") => Ok(()),
        _ => Err(unknown_ending(path)),
    }
}

fn unknown_ending(path: &Path) -> Problem {
    let rule = format!("{} ends neither in .svg nor in .png", path.display());
    Problem::field("--plot", rule, "give the file one of these endings")
}

/// Registers the font once; plotters keeps it for the life of the process.
fn load_font() -> Result<()> {
    static LOADED: OnceLock<bool> = OnceLock::new();
    let font = || register_font("sans-serif", FontStyle::Normal, epaint_default_fonts::UBUNTU_LIGHT).is_ok();
    if *LOADED.get_or_init(font) { Ok(()) } else { Err(anyhow!("the font that is compiled in cannot be read")) }
}

/// Colour of each group, in the order in which the groups appear.
struct Legend<'a>(Vec<&'a str>);

impl<'a> Legend<'a> {
    fn of(bars: &'a [Bar]) -> Self {
        let mut groups: Vec<&str> = Vec::new();
        for bar in bars {
            if !groups.contains(&bar.group.as_str()) {
                groups.push(&bar.group);
            }
        }
        Self(groups)
    }

    fn colour(&self, group: &str) -> RGBColor {
        let at = self.0.iter().position(|known| *known == group).unwrap_or(0);
        COLOURS[at.min(COLOURS.len() - 1)]
    }
}

/// From values to pixels; 0 is always in the picture.
struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    fn of(bars: &[Bar]) -> Self {
        let finite = || bars.iter().map(|bar| bar.value).filter(|value| value.is_finite());
        let low = finite().fold(0.0, f64::min);
        let high = finite().fold(0.0, f64::max);
        Self { low, high: if high > low { high } else { low + 1.0 } }
    }

    #[allow(clippy::cast_possible_truncation, reason = "the share is between 0 and 1")]
    fn x(&self, value: f64) -> i32 {
        let share = ((value - self.low) / (self.high - self.low)).clamp(0.0, 1.0);
        BARS_X + (share * f64::from(BARS_END_X - BARS_X)).round() as i32
    }
}

/// Top of the bar in a row, in pixels.
fn top(row: usize) -> i32 {
    HEAD_PX + row as i32 * ROW_PX + 4
}

fn shortened(label: &str) -> String {
    if label.chars().count() <= LABEL_CHARS_MAX {
        return label.to_owned();
    }
    label.chars().take(LABEL_CHARS_MAX - 1).chain(['…']).collect()
}

/// Draws on an area whose pixels are `scale` times as many as the numbers say: letters stand on whole pixels, so that a finer grid spaces
/// them better.
struct Pen<B: DrawingBackend> {
    area: DrawingArea<B, Shift>,
    scale: i32,
}

impl<B: DrawingBackend<ErrorType: 'static>> Pen<B> {
    fn new(backend: B, scale: i32) -> Self {
        Self { area: backend.into_drawing_area(), scale }
    }

    fn paint(&self, title: &str, bars: &[Bar]) -> Result<()> {
        let legend = Legend::of(bars);
        let scale = Scale::of(bars);
        self.area.fill(&WHITE)?;
        self.text(title, (16, 20), 19, HPos::Left)?;
        self.legend(&legend)?;
        let zero = scale.x(0.0);
        self.rectangle((zero, HEAD_PX - 4), (zero + 1, HEAD_PX + bars.len().max(1) as i32 * ROW_PX + 4), FAINT)?;
        for (row, bar) in bars.iter().enumerate() {
            self.bar(row, bar, &scale, legend.colour(&bar.group))?;
        }
        self.area.present()?;
        Ok(())
    }

    fn legend(&self, legend: &Legend<'_>) -> Result<()> {
        let mut x = 16;
        for group in &legend.0 {
            self.rectangle((x, 36), (x + 10, 46), legend.colour(group))?;
            self.text(group, (x + 16, 41), 13, HPos::Left)?;
            x += 34 + 7 * group.chars().count() as i32;
        }
        Ok(())
    }

    fn bar(&self, row: usize, bar: &Bar, scale: &Scale, colour: RGBColor) -> Result<()> {
        let (zero, end) = (scale.x(0.0), scale.x(bar.value));
        let (left, right) = (zero.min(end), zero.max(end));
        let middle = top(row) + (ROW_PX - 8) / 2;
        self.rectangle((left, top(row)), (right, top(row) + ROW_PX - 8), colour)?;
        self.text(&shortened(&bar.label), (BARS_X - 10, middle), 15, HPos::Right)?;
        self.text(&format!("{:.3}", bar.value), (right + 8, middle), 14, HPos::Left)
    }

    fn rectangle(&self, from: (i32, i32), to: (i32, i32), colour: RGBColor) -> Result<()> {
        let corners = [from, to].map(|(x, y)| (x * self.scale, y * self.scale));
        self.area.draw(&Rectangle::new(corners, colour.filled()))?;
        Ok(())
    }

    fn text(&self, text: &str, at: (i32, i32), size_px: i32, side: HPos) -> Result<()> {
        let font = ("sans-serif", size_px * self.scale).into_font();
        let style = TextStyle::from(font).color(&INK).pos(Pos::new(side, VPos::Center));
        self.area.draw_text(text, &style, (at.0 * self.scale, at.1 * self.scale))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bars() -> Vec<Bar> {
        let bar = |label: &str, value, group: &str| Bar { label: label.into(), value, group: group.into() };
        vec![
            bar("WHITE METAL LANTERN", 3.214, "cooccurrence"),
            bar("A <TITLE> & \"MORE\" THAT IS MUCH LONGER THAN THE ROOM FOR IT", 2.5, "slist"),
            bar("RED MUG", -0.5, "slist"),
        ]
    }

    #[test]
    fn svg_holds_the_labels_escaped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.svg");
        draw(&path, "user-42", &bars()).unwrap();
        let svg = fs_err::read_to_string(&path).unwrap();
        assert!(svg.contains("WHITE METAL LANTERN") && svg.contains("A &lt;TITLE&gt;"), "{svg}");
        assert!(svg.contains("3.214") && svg.contains("-0.500"), "{svg}");
    }

    #[test]
    fn png_has_bars_and_letters_without_any_font_installed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.png");
        draw(&path, "user-42", &bars()).unwrap();
        let png = fs_err::read(&path).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        let blank = folder.path().join("blank.png");
        draw(&blank, "", &[Bar { label: String::new(), value: 0.0, group: String::new() }]).unwrap();
        assert!(png.len() > 2 * fs_err::read(&blank).unwrap().len(), "the picture looks empty: {} bytes", png.len());
    }

    #[test]
    fn other_endings_are_refused() {
        let error = draw(Path::new("scores.gif"), "user-42", &bars()).unwrap_err();
        assert!(error.to_string().contains(".svg"), "{error}");
    }

    #[test]
    fn values_that_are_no_numbers_still_draw() {
        let folder = tempfile::tempdir().unwrap();
        let odd = [f64::NAN, f64::INFINITY, 0.0].map(|value| Bar { label: "x".into(), value, group: "y".into() });
        draw(&folder.path().join("odd.svg"), "odd", &odd).unwrap();
        draw(&folder.path().join("none.svg"), "none", &[]).unwrap();
    }
}
