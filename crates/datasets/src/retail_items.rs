//! What the invoice lines of Online Retail say about the articles.
//!
//! * Title: the description that stands most often on lines that were sold at a price, with spaces tidied. Notes of the staff (`?`,
//!   `damaged`, `wet`, `check`) stand on lines without price, which don't count. An article that was
//!   only returned within the data is described by those lines.
//! * Price: the median of the unit prices of those lines.
//! * Category: the kind of thing that the title names. The data has no categories; the titles follow the trade's habit of naming the
//!   thing last ("RED RETROSPOT CAKE STAND"), so the last word of the title that names a kind of thing decides, first within what stands
//!   before "with", "in", "for" and the like. About nine lines in ten get a category; the others get none.

use std::sync::LazyLock;

use rustc_hash::FxHashMap;
use zhiyin_core::Item;

use crate::{intern::Names, items::external_id};

/// Numeric codes that are no goods: a voucher, an express delivery, an image file.
const NUMERIC_NON_PRODUCTS: [&str; 3] = ["22016", "23444", "23702"];

/// Whether a stock code stands for goods. Codes of goods start with a digit or with DCGS; everything else (POST, DOT, M, D, S, BANK
/// CHARGES, AMAZONFEE, CRUK, PADS, C2, B, gift vouchers) is postage, a fee, a correction or a voucher.
pub(crate) fn is_product(code: &str) -> bool {
    let starts_right = code.starts_with(|c: char| c.is_ascii_digit()) || code.starts_with("DCGS");
    starts_right && !NUMERIC_NON_PRODUCTS.contains(&code)
}

/// What was seen of an article.
#[derive(Default)]
pub(crate) struct Article {
    titles: FxHashMap<u32, u32>,
    prices: Vec<f64>,
    was_sold: bool,
}

impl Article {
    /// Adds a line on which it was sold.
    pub(crate) fn add_sold(&mut self, title: u32, price: f64) {
        self.was_sold = true;
        self.add(title, price);
    }

    /// Adds a line on which it was returned, which says something only about an article that was never sold within the data.
    pub(crate) fn add_returned(&mut self, title: u32, price: f64) {
        if !self.was_sold {
            self.add(title, price);
        }
    }

    fn add(&mut self, title: u32, price: f64) {
        *self.titles.entry(title).or_default() += 1;
        self.prices.push(price);
    }

    /// The item; none when its code isn't a valid name.
    pub(crate) fn item(self, code: &str, titles: &Names) -> Option<Item> {
        let mut item = Item::bare(external_id("StockCode", code).ok()?);
        item.title = self.title(titles).unwrap_or_default();
        item.categories = category(&item.title).map(str::to_owned).into_iter().collect();
        item.price = median(self.prices);
        Some(item)
    }

    /// The most frequent description that has a word in it; of equally frequent ones the one that came first.
    fn title(&self, titles: &Names) -> Option<String> {
        let is_title = |title: &u32| titles.name(*title).chars().filter(|c| c.is_alphabetic()).count() >= 3;
        let (title, _) = self
            .titles
            .iter()
            .filter(|(title, _)| is_title(title))
            .max_by_key(|&(&title, &count)| (count, std::cmp::Reverse(title)))?;
        Some(titles.name(*title).split_whitespace().collect::<Vec<_>>().join(" "))
    }
}

fn median(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match numbers.len() {
        0 => None,
        n if n % 2 == 1 => Some(numbers[middle]),
        _ => Some(to_hundredths_of_cents((numbers[middle - 1] + numbers[middle]) / 2.0)),
    }
}

/// Without the dust of binary fractions: 8.405, not 8.405000000000001.
fn to_hundredths_of_cents(price: f64) -> f64 {
    (price * 10_000.0).round() / 10_000.0
}

/// Kinds of things, each with the words (and pairs of words) that name it.
const KINDS: &[(&str, &str)] = &[
    (
        "bags and purses",
        "BAG BAGS HANDBAG WASHBAG SHOPPER BACKPACK RUCKSACK TOTE SATCHEL PURSE PURSES WALLET SUITCASE LUGGAGE TROLLEY",
    ),
    ("bathroom", "SOAP TOWEL TOWELS FLANNEL SPONGE TOOTHBRUSH BATH BATHROOM SHOWER SALTS"),
    (
        "boxes and storage",
        "BOX BOXES TIN TINS JAR JARS BASKET BASKETS CABINET DRAWER DRAWERS CONTAINER CONTAINERS ORGANISER TIDY BIN STORAGE CHEST TUBE \
         CRATE CRATES BUCKET CADDY",
    ),
    ("candles and incense", "CANDLE CANDLES CHOCOLATECANDLE T-LIGHTS TEALIGHTS INCENSE VOTIVE"),
    (
        "candle holders and lanterns",
        "CANDLEHOLDER CANDLESTICK CANDLESTICKS CANDLEPOT T-LIGHT LANTERN LANTERNS T-LIGHT+HOLDER T-LIGHT+HOLDERS T-LIGHT+GLASS \
         TLIGHT+HOLDER CANDLE+HOLDER CANDLE+HOLDERS CANDLE+POT CANDLE+PLATE",
    ),
    (
        "cards and wrapping",
        "CARD CARDS WRAP TAG TAGS RIBBON RIBBONS ENVELOPE ENVELOPES POSTCARD POSTCARDS INVITES GIFTWRAP",
    ),
    ("clocks", "CLOCK CLOCKS WATCH"),
    (
        "crafts and sewing",
        "KIT KITS SEWING KNITTING YARN PATCHES BUTTONS FELTCRAFT THREAD CRAFT STENCIL EGG+SET PAINT+SET",
    ),
    ("cups and mugs", "MUG MUGS CUP CUPS TEACUP BEAKER BEAKERS SAUCER TUMBLER GOBLET"),
    (
        "decorations",
        "DECORATION DECORATIONS DEC GARLAND GARLANDS BUNTING WREATH BAUBLE BAUBLES BALLOON BALLOONS TREE CORNICE ORNAMENT ORNAMENTS BELL \
         BELLS MOBILE FIGURINE STREAMERS CHAIN CHAINS DOVE WICKER HANGING BUILDING+BLOCK STOCKING WALL+ART ART+FLOWER ROCKING+HORSE",
    ),
    ("frames and mirrors", "FRAME FRAMES MIRROR MIRRORS ALBUM PICTURE"),
    ("furniture", "CHAIR CHAIRS TABLE STOOL SHELF BENCH"),
    (
        "garden",
        "GARDEN PLANTER PLANTERS POT POTS WATERING HERB BIRDHOUSE FEEDER SPADE THERMOMETER WINDMILL TRELLIS GNOME NEST PARASOL BIRD+TABLE BIRD+HOUSE \
         GARDENING",
    ),
    (
        "hair accessories",
        "HAIR COMB HAIRBAND HAIRCLIP HAIRCLIPS BOBBLES GRIP GRIPS HAIRSLIDE SLIDE SLIDES HAIR+CLIP HAIR+CLIPS HAIR+GRIP",
    ),
    (
        "hooks, racks and stands",
        "HOLDER HOLDERS RACK RACKS STAND STANDS CAKESTAND HOOK HOOKS HANGER HANGERS KNOB KNOBS DRAWER+KNOB DRAWERKNOB DOORSTOP",
    ),
    ("bottles and warmers", "BOTTLE BOTTLES FLASK HOTTIE HAND+WARMER WARMER"),
    (
        "jewellery",
        "NECKLACE NECKLACES BRACELET BRACELETS EARRINGS EARRING EAR-RINGS RING RINGS CHARM CHARMS PENDANT BANGLE BROOCH TIARA JEWELLERY \
         LARIAT CHOKER",
    ),
    (
        "kitchen and baking",
        "CASES CUTTER CUTTERS SCALES MOULD MOULDS WHISK TIMER BAKING APRON TEATOWEL TEA+TOWEL TEA+TOWELS CHOPPING RECIPE JELLY OVEN PEGS \
         PANTRY SIEVE COLANDER PAN ROLLING FOOD+COVER JAM+MAKING",
    ),
    (
        "lights and lamps",
        "LIGHT LIGHTS LAMP LAMPSHADE LAMPSHADES CHANDELIER TORCH NIGHTLIGHT TABLE+LIGHT TABLE+LAMP LIGHT+CHAIN",
    ),
    ("magnets and stickers", "MAGNET MAGNETS STICKER STICKERS TATTOOS DECAL"),
    ("party", "PARTY STRAWS CONE CONES TISSUES TISSUE DOILY DOILIES CONFETTI PINATA CRACKER CRACKERS"),
    (
        "signs and letters",
        "SIGN SIGNS PLAQUE LETTER LETTERS TILE TILES BLACKBOARD CHALKBOARD DOORSIGN FONT FONTS NUMBER MEMO+BOARD BLACK+BOARD MEMOBOARD",
    ),
    (
        "stationery",
        "NOTEBOOK NOTEBOOKS PENCIL PENCILS PEN PENS SKETCHBOOK JOURNAL ERASER ERASERS RULER TAPE CALENDAR BOOK BOOKS STAMP STAMPS PAD \
         NOTEPAD SHARPENER CHALK PAPERWEIGHT CRAYONS DIARY STATIONERY WRITING+SET",
    ),
    (
        "tableware",
        "BOWL BOWLS PLATE PLATES DISH JUG TRAY TRAYS COASTER COASTERS PLACEMAT PLACEMATS NAPKIN NAPKINS CUTLERY SPOON SPOONS TEAPOT COSY \
         TEASPOON TEASPOONS EGGCUP TEA GLASS GLASSES RUNNER DINNER BUTTER PLATTER PLACE+SETTING CAKE+STAND BREAKFAST+SET EGG+CUP",
    ),
    (
        "textiles and rugs",
        "CUSHION CUSHIONS COVER COVERS DOORMAT RUG THROW QUILT CURTAIN CURTAINS BLANKET SCARF SLIPPERS SLIPPER SHAWL SOCKS GLOVES MAT \
         PILLOW POUFFE TASSEL HAMMOCK",
    ),
    (
        "toys and games",
        "TOY TOYS DOLL DOLLS GAME GAMES JIGSAW PUZZLE SKITTLES DOMINOES BALL BALLS HELICOPTER YOYO CARDGAME PLAYHOUSE SOLDIERS DOLLY \
         RACING GLIDER GLIDERS SNAKES LUDO SUCKER DUCKS TEDDY TRUMPS HARMONICA SKIPPING SPINNING BINGO DRAWING+SLATE COLOURING+SET \
         PLAYING+CARDS MODELLING+CLAY",
    ),
    ("umbrellas", "UMBRELLA UMBRELLAS"),
];

/// Words after which a title says what the thing comes with, not what it is.
const ADDITIONS: [&str; 6] = ["WITH", "FOR", "IN", "W", "ON", "FROM"];

/// The kind of thing that a title names.
fn category(title: &str) -> Option<&'static str> {
    let upper = title.to_ascii_uppercase();
    let words: Vec<&str> = upper
        .split(|c: char| !c.is_ascii_alphabetic() && c != '-')
        .map(|word| word.trim_matches('-'))
        .filter(|word| !word.is_empty())
        .collect();
    let head = words.iter().position(|word| ADDITIONS.contains(word)).unwrap_or(words.len());
    last_kind(&words[..head]).or_else(|| last_kind(&words))
}

/// The kind of the last word that names one; together with the word before it if the pair names one.
fn last_kind(words: &[&str]) -> Option<&'static str> {
    (0..words.len()).rev().find_map(|at| {
        let pair = at.checked_sub(1).and_then(|before| kind_of(&format!("{}+{}", words[before], words[at])));
        pair.or_else(|| kind_of(words[at]))
    })
}

fn kind_of(word: &str) -> Option<&'static str> {
    static KIND_OF: LazyLock<FxHashMap<&'static str, &'static str>> = LazyLock::new(|| {
        KINDS.iter().flat_map(|&(kind, words)| words.split_ascii_whitespace().map(move |word| (word, kind))).collect()
    });
    KIND_OF.get(word).copied()
}

#[cfg(test)]
mod tests {
    use super::{category, is_product, median};

    #[test]
    fn the_last_thing_that_a_title_names_is_its_category() {
        let cases = [
            ("RED RETROSPOT CAKE STAND", Some("tableware")),
            ("WHITE HANGING HEART T-LIGHT HOLDER", Some("candle holders and lanterns")),
            ("SET OF 60 PANTRY DESIGN CAKE CASES", Some("kitchen and baking")),
            ("JUMBO BAG RED RETROSPOT", Some("bags and purses")),
            ("RED HARMONICA IN BOX", Some("toys and games")),
            ("HAND WARMER UNION JACK", Some("bottles and warmers")),
            ("IVORY DINER WALL CLOCK", Some("clocks")),
            ("CINAMMON & ORANGE", None),
        ];
        for (title, expected) in cases {
            assert_eq!(category(title), expected, "{title}");
        }
    }

    #[test]
    fn codes_of_goods_are_told_from_the_others() {
        for code in ["85123A", "22423", "DCGSSBOY"] {
            assert!(is_product(code), "{code}");
        }
        for code in ["POST", "D", "M", "m", "BANK CHARGES", "C2", "gift_0001_20", "PADS", "23444", ""] {
            assert!(!is_product(code), "{code}");
        }
    }

    #[test]
    fn the_median_of_an_even_number_is_between_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median(vec![8.46, 8.35]), Some(8.405));
        assert_eq!(median(vec![2.5]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
