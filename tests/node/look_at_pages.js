// Opens pages in Chromium, each at several widths, light and dark, and prints what it saw as JSON: a line each.
//
//     node look_at_pages.js CHROMIUM FOLDER_FOR_PICTURES FILE...
//
// Of each: how wide the page is and how wide its window, what was said on the console, what was asked for, how many boxes
// that scroll cannot be reached with the keyboard, whether what is linked to can be seen, and the least contrast between
// a text and what is behind it. The first file is looked at in all ways, the others in two. With a folder, pictures are
// put into it, and a PDF of each file.

const { chromium } = require("playwright-core");
const path = require("path");

const ALL_WAYS = [320, 360, 768, 1440].flatMap((width) => [[width, "light"], [width, "dark"]]);
const TWO_WAYS = [[320, "dark"], [1440, "light"]];
const QUIET = [
  "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

async function look(browser, file, width, colorScheme, pictures) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme });
  const page = await context.newPage();
  const said = [], asked = [];
  page.on("console", (message) => said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("request", (request) => asked.push(request.url()));
  await page.goto(`file://${file}`);
  const seen = await page.evaluate(() => {
    const root = document.documentElement;
    const scrolls = (one) => ["auto", "scroll"].includes(getComputedStyle(one).overflowX);
    const boxes = [...document.querySelectorAll("main *")].filter((one) => scrolls(one) && one.scrollWidth > one.clientWidth);
    const parts = (colour) => (colour.match(/[\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map((part) => part / 255).map((c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
      return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const behind = (one) => {
      for (let at = one; at !== null; at = at.parentElement) {
        const colour = parts(getComputedStyle(at).backgroundColor);
        if (colour.length === 3 || colour[3] > 0) return colour;
      }
      return [255, 255, 255];
    };
    const written = [...document.querySelectorAll("body *:not(svg *)")].filter(
      (one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim() !== ""),
    );
    const contrast = Math.min(
      ...written.map((one) => {
        const [a, b] = [light(parts(getComputedStyle(one).color)), light(behind(one))];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
      }),
    );
    const last = document.querySelector("#events li[id]:last-of-type a.version");
    if (last !== null) last.click();
    return {
      wide: root.scrollWidth,
      window: root.clientWidth,
      unreachable: boxes.filter((one) => one.tabIndex < 0).length,
      contrast,
      background: getComputedStyle(document.body).backgroundColor,
      scripts: document.scripts.length,
    };
  });
  const target = page.locator(":target");
  seen.opened = (await target.count()) === 1 && (await target.isVisible());
  if (pictures) {
    const name = path.join(pictures, `${path.basename(file, ".html")}-${width}-${colorScheme}`);
    await page.screenshot({ path: `${name}.png`, fullPage: true });
    if (width === 1440 && colorScheme === "light") await page.pdf({ path: `${name}.pdf`, format: "A4" });
  }
  await context.close();
  return { file, width, colorScheme, said, asked, ...seen };
}

(async () => {
  const [executablePath, pictures, ...files] = process.argv.slice(2);
  const browser = await chromium.launch({ executablePath, args: QUIET });
  for (const file of files) {
    for (const [width, colorScheme] of file === files[0] ? ALL_WAYS : TWO_WAYS) {
      console.log(JSON.stringify(await look(browser, file, width, colorScheme, pictures)));
    }
  }
  await browser.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
